"""Trains weights for the form in which they are stored: one or two bits of difference to a base.

From some step on, the forward pass sees each weight as the file would have it, and the gradient
found there moves the exact weight (a straight-through estimator, Bengio et al. 2013): training
makes up for what rounding costs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerState

from demo.checkpoints.difference import Delta, round_trip
from training import TrainingError
from training.callbacks import Clock


class RoundDeltas(TrainerCallback):
    """Rounds a model's weights during each step for which `is_due`, and inside `rounded()`.

    The model has the base's weights and is on its device. Two more copies are kept: `base`, and the
    rounded weights, which are swapped with the model's own while it is rounded. `two_bits` are
    parts of the names of matrices that get two bits a weight, not one; `whole` are the tokens whose
    embeddings are stored whole. `is_due` takes the number of steps made. Raises
    TrainingError if a part is in no name."""

    def __init__(
        self,
        model: Any,
        two_bits: Sequence[str],
        is_due: Callable[[int], bool],
        whole: Tensor | None = None,
    ) -> None:
        self._weights: dict[str, Tensor] = dict(model.named_parameters())
        self.base = {name: value.detach().clone() for name, value in self._weights.items()}
        self._rounded = {name: torch.empty_like(value) for name, value in self.base.items()}
        self._bits = {
            name: 2 if any(part in name for part in two_bits) else 1 for name in self._weights
        }
        self._embeddings = model.get_input_embeddings().weight
        self._whole = whole if whole is not None and len(whole) else None
        for part in two_bits:
            if not any(part in name for name in self._weights):
                raise TrainingError(f"No weight has {part!r} in its name, as two_bits asks for.")
        self._is_due = is_due
        self._is_rounded = False

    def on_step_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """The step's forward and backward passes see rounded weights."""
        if self._is_due(state.global_step):
            self._round()

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        """The optimizer moves the exact ones."""
        self._restore()

    @contextmanager
    def rounded(self) -> Iterator[None]:
        """Inside, the weights are as they would be stored: what is measured is what is published
        (to the bit on a CPU, where the file is made)."""
        self._round()
        try:
            yield
        finally:
            self._restore()

    def deltas(self) -> dict[str, Delta]:
        """Each weight's exact difference to the base, and how it is stored."""
        assert not self._is_rounded
        found = {name: self._delta(name) for name in self._weights}
        return {name: delta._replace(values=delta.values.cpu()) for name, delta in found.items()}

    def _delta(self, name: str) -> Delta:
        value = self._weights[name]
        whole = self._whole if value is self._embeddings else None
        return Delta(value.detach() - self.base[name], self._bits[name], whole)

    @torch.no_grad()
    def _round(self) -> None:
        assert not self._is_rounded
        for name in self._weights:
            torch.add(self.base[name], round_trip(self._delta(name)), out=self._rounded[name])
        self._swap()

    def _restore(self) -> None:
        if self._is_rounded:
            self._swap()

    def _swap(self) -> None:
        """Memory bounds a step, so exact and rounded weights are exchanged, not copied."""
        for name, value in self._weights.items():
            value.data, self._rounded[name] = self._rounded[name], value.data
        self._is_rounded = not self._is_rounded


def due_after(share: float, clock: Clock | None, max_steps: int) -> Callable[[int], bool]:
    """Whether that share of the run has passed, by its clock if it has one."""
    if clock is not None:
        return lambda _: clock.left() <= 1 - share
    return lambda step: step >= share * max_steps
