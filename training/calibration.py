"""Calibration: a factor for each weight's difference to the base, and a temperature for the logits,
fitted to texts that training has not read.

A model that reads its texts more than once becomes overconfident (Guo et al. 2017), and one bit a
weight stores the size of a difference only roughly. A factor for each weight and one temperature
correct both. They are multiplied into the stored weights, so the file's format does not change.
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

# The norm before the logits, by its name in a Llama: the packaged base is one.
LAST_NORM = "model.norm.weight"
PASSES = 2
BATCH_TOKENS = 2_048
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
    block_size: int,
) -> Calibration:
    """The factors and the temperature that minimise the loss on the texts, found by Adam from 1.
    Does not change the model.

    Args:
        model: a Llama in eval mode whose `use_cache` is off.
        base: the weights that it was trained from, by its parameters' names.
        block_size: of the rows that the texts are packed into, in tokens.
    """
    differences = {name: weight.detach() - base[name] for name, weight in model.named_parameters()}
    rows = pack_documents(tokenise(texts, tokenizer), block_size, tokenizer.eos_token_id)
    logarithms = torch.zeros(len(base) + 1, device=model.device, requires_grad=True)
    optimizer = torch.optim.Adam([logarithms], LEARNING_RATE)
    size, order = max(1, BATCH_TOKENS // block_size), torch.Generator().manual_seed(0)
    batches = DataLoader(rows, size, shuffle=True, generator=order)
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
