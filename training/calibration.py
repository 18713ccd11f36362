"""Calibration: a factor for each weight's difference to the base, and a temperature for the logits,
fitted to texts that training has not read.

What is read more than once makes a model too sure of itself (Guo et al. 2017), and a bit a weight
renders the size of a difference only roughly. A few hundred numbers correct both, and they need no
place in a file: they are multiplied into what it stores anyway.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from training.documents import pack_documents, tokenise

# The norm before the logits; of the packaged base, which is a Llama.
LAST_NORM = "model.norm.weight"
PASSES = 2
BATCH_ROWS = 16
LEARNING_RATE = 0.03


@dataclass(frozen=True)
class Calibration:
    """`factors` are those of the differences, by the weights' names."""

    factors: Mapping[str, Any]
    temperature: Any

    @classmethod
    def from_logarithms(cls, names: Iterable[str], values: Tensor) -> Self:
        """From one tensor: of each weight's factor, then of the temperature."""
        *factors, temperature = values.exp()
        return cls(dict(zip(names, factors, strict=True)), temperature)

    def weight(self, name: str, base: Tensor, difference: Tensor) -> Tensor:
        """The calibrated weight of that name."""
        weight: Tensor = base + self.factors[name] * difference
        if name == LAST_NORM:
            weight = weight / self.temperature
        return weight

    @torch.no_grad()
    def write(self, model: Any, base: Mapping[str, Tensor]) -> None:
        """Calibrates the model in place."""
        for name, weight in model.named_parameters():
            weight.copy_(self.weight(name, base[name], weight - base[name]))


def fit_calibration(
    texts: Sequence[str],
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    base: Mapping[str, Tensor],
    differences: Mapping[str, Tensor],
    block_size: int,
) -> Calibration:
    """What makes the texts likeliest, by Adam from factors of 1 and a temperature of 1. The model
    stays as it is.

    Args:
        model: a Llama in eval mode whose `use_cache` is off; only its shape counts.
        base, differences: the weights are their sums, by the names of the model's parameters.
        block_size: of the rows that the texts are packed into, in tokens.
    """
    rows = pack_documents(tokenise(texts, tokenizer), block_size, tokenizer.eos_token_id)
    logarithms = torch.zeros(len(base) + 1, device=model.device, requires_grad=True)
    optimizer = torch.optim.Adam([logarithms], LEARNING_RATE)
    batches = DataLoader(rows, BATCH_ROWS, shuffle=True, generator=torch.Generator().manual_seed(0))
    steps = PASSES * len(batches)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, steps)
    with tqdm(total=steps, desc="calibration", unit=" steps") as bar:
        for batch in itertools.chain.from_iterable(itertools.repeat(batches, PASSES)):
            now = Calibration.from_logarithms(base, logarithms)
            weights = {name: now.weight(name, base[name], differences[name]) for name in base}
            inputs = {name: value.to(model.device) for name, value in batch.items()}
            optimizer.zero_grad()
            functional_call(model, weights, (), inputs).loss.backward()
            optimizer.step()
            schedule.step()
            bar.update()
    return Calibration.from_logarithms(base, logarithms.detach())
