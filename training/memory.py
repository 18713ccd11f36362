"""Estimates whether a training step fits into a GPU's memory, and splits it so that it does."""

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Self

import torch
from accelerate import PartialState

from training.errors import TrainingError
from training.recipe import Recipe
from training.trainer import processes

# The rest is left for fragmentation, and for what the estimate does not know.
USABLE = 0.8
# fp32 weights, their gradients and Adam's two moments.
BYTES_TRAINED, BYTES_FROZEN = 16, 4
# If weights are rounded to deltas: the base's and the exact ones besides.
BYTES_DELTA = 8
# Logits in half precision, and in fp32 with their gradient.
BYTES_LOGIT = 10


@dataclass(frozen=True)
class Sizes:
    """What memory depends on: `weights` is a count; `trained` says whether all of them are,
    `with_deltas` whether they are rounded to deltas; `context` is a row's length in tokens."""

    weights: int
    trained: bool
    layers: int
    heads: int
    width: int
    vocabulary: int
    context: int
    with_deltas: bool = False

    @classmethod
    def of(cls, recipe: Recipe, model: Any) -> Self:
        """Of a model as a recipe trains it."""
        config = model.config
        return cls(
            weights=model.num_parameters(),
            trained=recipe.method != "lora",
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            width=config.hidden_size,
            vocabulary=config.vocab_size,
            context=recipe.block_size,
            with_deltas=recipe.difference is not None,
        )

    def bytes(self, rows: int, checkpointing: bool) -> int:
        """Needed by a step over so many rows at once, in half precision.

        Activations as Korthikanti et al. 2022 count them: 34 + 5 · heads · context / width bytes
        for each token, layer and unit of width; with checkpointing, 2 bytes and one whole layer.
        """
        state = self.weights * (BYTES_TRAINED if self.trained else BYTES_FROZEN)
        state += self.weights * BYTES_DELTA * self.with_deltas
        unit = self.context * self.width
        layer = unit * 34 + 5 * self.heads * self.context**2
        stored = self.layers * unit * 2 + layer if checkpointing else self.layers * layer
        return state + rows * (stored + self.context * self.vocabulary * BYTES_LOGIT)


def fit_to_gpu(recipe: Recipe, model: Any) -> Recipe:
    """The recipe with as many accumulated portions, and activation checkpointing, as the GPUs' free
    memory requires. The batch of a step, and so what is learnt, stays the same. On a CPU the recipe
    is returned as it is."""
    if not torch.cuda.is_available():
        return recipe
    free = smallest_free_memory()
    found = split_batch(recipe, Sizes.of(recipe, model), int(USABLE * free), processes())
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


def split_batch(recipe: Recipe, sizes: Sizes, room: int, ranks: int) -> Recipe:
    """The recipe with the fewest portions that fit into `room` bytes, the batch being shared
    by `ranks` processes; activations are checkpointed only if one row at once does not fit.

    Raises:
        TrainingError: not even that fits.
    """
    rows = recipe.batch_size // ranks
    for checkpointing in sorted({recipe.activation_checkpointing, True}):
        for portions in range(recipe.gradient_accumulation, rows + 1):
            if rows % portions == 0 and sizes.bytes(rows // portions, checkpointing) <= room:
                return dataclasses.replace(
                    recipe,
                    gradient_accumulation=portions,
                    activation_checkpointing=checkpointing,
                )
    need = sizes.bytes(1, checkpointing=True)
    raise TrainingError(
        f"The model needs about {need / 2**30:.1f} GiB of free GPU memory, of which "
        f"{room / 2**30:.1f} GiB can be used: train an adapter (--lora 16) or a smaller --base."
    )
