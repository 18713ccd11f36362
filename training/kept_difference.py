"""Training weights for the form they will be kept in: a bit or two of difference to the base.

Knows callbacks of Trainer and the format's rounding; must not know recipes or files.

From some step on, the forward pass sees each weight as the file would have it, and the gradient
found there moves the weight itself (a straight-through estimator, Bengio et al. 2013): what the
rounding costs is trained away.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from demo.checkpoints.difference import round_trip
from training.budget import Clock
from training.errors import TrainingError


class KeptDifference(TrainerCallback):
    """Rounds a model's weights for each step that is due, and for whoever looks.

    Args:
        model: as the base is, on its device; its weights are copied twice.
        two_bits: parts of the names of matrices that get two bits a weight, not one.
        is_due: told the steps made, says whether the next one is.

    Raises:
        TrainingError: a part is in no name.
    """

    def __init__(self, model: Any, two_bits: Sequence[str], is_due: Callable[[int], bool]) -> None:
        self._weights: dict[str, Tensor] = dict(model.named_parameters())
        self._base = {name: value.detach().clone() for name, value in self._weights.items()}
        self._exact = {name: torch.empty_like(value) for name, value in self._base.items()}
        self._planes = {
            name: 2 if any(part in name for part in two_bits) else 1 for name in self._weights
        }
        for part in two_bits:
            if not any(part in name for name in self._weights):
                raise TrainingError(f"No weight has {part!r} in its name, as two_bits asks for.")
        self._is_due = is_due
        self._is_rounded = False

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The step's forward and backward passes see rounded weights."""
        if self._is_due(state.global_step):
            self._round()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The optimizer moves the exact ones."""
        self._restore()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The weights as they would be kept, whatever the step: what is measured is what ships
        (to the bit on a CPU, where the file is made)."""
        self._round()
        try:
            yield
        finally:
            self._restore()

    def differences(self) -> dict[str, tuple[Tensor, int]]:
        """Each weight's difference to the base, with its number of planes."""
        return {
            name: ((value.detach() - self._base[name]).cpu(), self._planes[name])
            for name, value in self._weights.items()
        }

    @torch.no_grad()
    def _round(self) -> None:
        assert not self._is_rounded
        for name, value in self._weights.items():
            self._exact[name].copy_(value)
            rounded = round_trip(value - self._base[name], self._planes[name])
            torch.add(self._base[name], rounded, out=value)
        self._is_rounded = True

    @torch.no_grad()
    def _restore(self) -> None:
        if self._is_rounded:
            for name, value in self._weights.items():
                value.copy_(self._exact[name])
            self._is_rounded = False


def due_after(share: float, clock: Clock | None, max_steps: int) -> Callable[[int], bool]:
    """Whether so much of the run has passed, by its clock if it has one."""
    if clock is not None:
        return lambda _: clock.left() <= 1 - share
    return lambda step: step >= share * max_steps
