"""How long a run may be: so many tokens, or so many minutes.

Knows tokens, steps and the clock; must not know what is trained.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# Steps that a run bounded by the clock never reaches.
UNBOUNDED_STEPS = 1_000_000


def steps_for_tokens(tokens: int, tokens_per_step: float) -> int:
    """The fewest steps in which so many tokens are seen."""
    return max(1, math.ceil(tokens / tokens_per_step))


class Clock(TrainerCallback):
    """Ends a run when its minutes are over, with a last evaluation and a saved state.

    Evaluations and samples count as time: it is what the owner waits for.
    """

    def __init__(self, minutes: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._now = 60 * minutes, now
        self._started = now()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The minutes count from here."""
        self._started = self._now()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Asks Trainer to evaluate, save and stop."""
        if self.left() == 0:
            control.should_evaluate = control.should_save = control.should_training_stop = True

    def left(self) -> float:
        """The share of the time that is left, from 1 to 0."""
        return max(0.0, 1 - (self._now() - self._started) / self._seconds)

    def learning_rate(self, step: int, warmup_steps: float) -> float:
        """As a share of the peak: up over the first steps, or below 1 over that share of the time,
        then down with the time that is left."""
        left = self.left()
        if 0 < warmup_steps < 1:
            return min((1 - left) / warmup_steps, left)
        return min((step + 1) / (warmup_steps + 1), left)
