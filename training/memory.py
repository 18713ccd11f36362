"""Estimates whether a training step fits into a GPU's memory, and splits it so that it does."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from accelerate import PartialState

from training import TrainingError
from training.recipe import Recipe
from training.trainer import processes

# The rest is left for fragmentation, and for what the estimate does not know.
USABLE = 0.8
# fp32 weights, their gradients and Adam's two moments.
BYTES_TRAINED, BYTES_FROZEN = 16, 4
# If weights are rounded to deltas: the base's and the rounded ones besides.
BYTES_DELTA = 8
# Logits in half precision, and in fp32 with their gradient.
BYTES_LOGIT = 10


def step_bytes(recipe: Recipe, weights: int, config: Any, rows: int, checkpointing: bool) -> int:
    """Needed by a step over `rows` rows at once, in half precision.

    Activations as Korthikanti et al. 2022 count them: 34 + 5 · heads · context / width bytes for
    each token, layer and unit of width; with checkpointing, 2 bytes and one whole layer.

    Args:
        weights: how many the model has.
        config: the model's.
    """
    state = weights * (BYTES_FROZEN if recipe.method == "lora" else BYTES_TRAINED)
    if recipe.difference is not None:
        state += weights * BYTES_DELTA
    context, layers = recipe.block_size, config.num_hidden_layers
    unit = context * config.hidden_size
    layer = unit * 34 + 5 * config.num_attention_heads * context**2
    activations = layers * unit * 2 + layer if checkpointing else layers * layer
    return int(state + rows * (activations + context * config.vocab_size * BYTES_LOGIT))


def fit_to_gpu(recipe: Recipe, model: Any) -> Recipe:
    """The recipe with as many accumulated portions, and activation checkpointing, as the GPUs' free
    memory requires. The batch of a step, and so what is learnt, stays the same. On a CPU the recipe
    is returned as it is."""
    if not torch.cuda.is_available():
        return recipe
    free = smallest_free_memory()
    # With FSDP each process holds its share of them, and one layer's at a time.
    weights = model.num_parameters() // (processes() if recipe.fsdp else 1)
    needed = partial(step_bytes, recipe, weights, model.config)
    found = split_batch(recipe, needed, int(USABLE * free), processes())
    if found != recipe:
        print(
            f"For {free / 2**30:.1f} GiB of free GPU memory: {found.gradient_accumulation} "
            "accumulated portions a step"
            + (", activations checkpointed." if found.activation_checkpointing else "."),
            flush=True,
        )
    return found


def smallest_free_memory() -> int:
    """Bytes free on this process's own GPU, or on the fullest GPU of the run: all processes must
    split a step alike."""
    free, _ = torch.cuda.mem_get_info(int(os.environ.get("LOCAL_RANK", "0")))
    if processes() > 1:
        # Joins the process group, as Trainer would do later.
        device = PartialState(cpu=not torch.cuda.is_available()).device
        smallest = torch.tensor(free, device=device)
        torch.distributed.all_reduce(smallest, torch.distributed.ReduceOp.MIN)
        free = int(smallest)
    return free


def split_batch(
    recipe: Recipe, needed: Callable[[int, bool], int], room: int, ranks: int
) -> Recipe:
    """The recipe with the fewest portions that fit into `room` bytes, the batch being shared by
    `ranks` processes; activations are checkpointed only if one row at once does not fit. `needed`
    is `step_bytes` by rows and checkpointing. Raises TrainingError if not even that fits."""
    rows = recipe.batch_size // ranks
    for checkpointing in sorted({recipe.activation_checkpointing, True}):
        for portions in range(recipe.gradient_accumulation, rows + 1):
            if rows % portions == 0 and needed(rows // portions, checkpointing) <= room:
                return recipe.changed(
                    gradient_accumulation=portions, activation_checkpointing=checkpointing
                )
    need = needed(1, True)
    raise TrainingError(
        f"The model needs about {need / 2**30:.1f} GiB of free GPU memory, of which "
        f"{room / 2**30:.1f} GiB can be used: train an adapter (--lora 16) or a smaller --base."
    )
