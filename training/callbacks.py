"""What a run reports and obeys between steps: progress, samples, a time limit, signals."""

import json
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import (
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

# Steps that a run bounded by a clock never reaches.
UNBOUNDED_STEPS = 1_000_000
# The largest share of a run in which a recipe's warm-up steps may be: else a short run would end
# before its learning rate is worth anything.
MAX_WARM_UP = 0.1
LOGGED = {
    "loss": "loss {:.4f}",
    "eval_bits_per_byte": "dev bits per byte {:.4f}",
    "learning_rate": "lr {:.2e}",
}
SAMPLE_TOKENS = 60
SAMPLE_TEMPERATURE = 0.9
SAMPLE_TOP_P = 0.95


def seconds_measured(state: TrainerState) -> float:
    """The seconds of training until the last time that dev was measured; 0 if it never was."""
    return max((float(entry.get("seconds", 0)) for entry in state.log_history), default=0.0)


class Clock(TrainerCallback):
    """Ends a run when its minutes are over, with a last evaluation and a saved state.

    Evaluations and samples count as time: the owner waits for them too.
    """

    def __init__(self, minutes: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._now = 60 * minutes, now
        self._started = now()

    def on_train_begin(self, args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        """The minutes count from here, less those that the run took until its state was
        measured."""
        self._started = self._now() - seconds_measured(state)

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **_: Any) -> None:
        if self.left() == 0:
            control.should_evaluate = control.should_save = control.should_training_stop = True

    def left(self) -> float:
        """The share of the time that is left, from 1 to 0."""
        return max(0.0, 1 - (self._now() - self._started) / self._seconds)

    def learning_rate(self, step: int, warmup_steps: float) -> float:
        """As a share of the peak: rises over the first steps, but no longer than MAX_WARM_UP of the
        time (below 1: over that share of the time), then falls with the time that is left."""
        left = self.left()
        if 0 < warmup_steps < 1:
            return min((1 - left) / warmup_steps, left)
        return min(max((step + 1) / (warmup_steps + 1), (1 - left) / MAX_WARM_UP), left)


class Progress(TrainerCallback):
    """Prints a line at each log: step, loss, bits per byte on dev, learning rate, tokens per
    second, and the time left."""

    def __init__(self, tokens_per_step: float, clock: Clock | None) -> None:
        self._tokens_per_step, self._clock = tokens_per_step, clock
        self._started = 0.0
        self._first_step = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Time is counted from here, also after a resume."""
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_log(
        self, args: Any, state: TrainerState, control: Any, logs: Any = None, **_: Any
    ) -> None:
        """One line with whichever of the figures this log has."""
        shown = {key: form for key, form in LOGGED.items() if key in (logs or {})}
        # The last log of a run is Trainer's own summary, which has none of these.
        if not shown:
            return
        line = f"step {state.global_step:>5}"
        if self._clock is None:
            line += f"/{state.max_steps}"
        line += "".join("  " + form.format(logs[key]) for key, form in shown.items())
        if steps := state.global_step - self._first_step:
            seconds = (time.monotonic() - self._started) / steps
            left = f"ETA {(state.max_steps - state.global_step) * seconds / 60:.0f} min"
            if self._clock is not None:
                left = f"{self._clock.left():.0%} of the time left"
            line += f"  {self._tokens_per_step / seconds:.0f} tokens/s  {left}"
        print(line, flush=True)


class Samples(TrainerCallback):
    """Generates without a prompt, and from each of some, every so many steps; prints and appends to
    a file.

    `as_published` is entered while texts are generated: it swaps in the weights to be shown.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[str],
        every: int,
        path: Path,
        as_published: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._tokenizer, self._prompts = tokenizer, ("", *prompts)
        self._every, self._path, self._as_published = every, path, as_published

    def on_step_end(
        self, args: Any, state: TrainerState, control: Any, model: Any = None, **_: Any
    ) -> None:
        """Samples at every `every`-th step and at the last."""
        if state.global_step % self._every and state.global_step != state.max_steps:
            return
        with self._as_published(), self._path.open("a", encoding="utf-8") as file:
            for text in _generate(model, self._tokenizer, self._prompts, args.seed):
                print(f"    ▸ {text}", flush=True)
                line = {"step": state.global_step, "text": text}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


@torch.no_grad()
def _generate(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], seed: int
) -> list[str]:
    """One text a prompt, the prompt included. The run's own random state is left as it was."""
    inputs = tokenizer(
        [f"{tokenizer.eos_token}{prompt}" for prompt in prompts],
        add_special_tokens=False, return_token_type_ids=False,
        padding=True, padding_side="left", return_tensors="pt",
    )  # fmt: skip
    was_training = model.training
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        output = model.generate(
            **inputs.to(model.device),
            max_new_tokens=SAMPLE_TOKENS,
            do_sample=True,
            temperature=SAMPLE_TEMPERATURE,
            top_p=SAMPLE_TOP_P,
            top_k=0,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
            use_cache=True,
        )
    model.train(was_training)
    return [text.strip() for text in tokenizer.batch_decode(output, skip_special_tokens=True)]


class StopOnSignal(TrainerCallback):
    """Ctrl-C or SIGTERM ends the run after the step under way, with its state saved.

    The processes of a run agree on it after each step: one that stopped alone would leave the
    others waiting for its gradients. `signal` is its number, once all have stopped.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Handles signals from here to the end of training; before and after, they do what they
        always did."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)

    def on_step_end(
        self, args: TrainingArguments, state: Any, control: TrainerControl, **_: Any
    ) -> None:
        self._agree(args)
        if self.signal is not None:
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: TrainingArguments, *_: Any, **__: Any) -> None:
        self._agree(args)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _agree(self, args: TrainingArguments) -> None:
        number = self._received or 0
        if torch.distributed.is_initialized():
            highest = torch.tensor(number, device=args.device)
            torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX)
            number = int(highest)
        self.signal = number or None

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number
        print("\nStopping after this step; once more to stop at once.", flush=True)
