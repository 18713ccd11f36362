"""What a run reports and obeys between steps: progress, samples, a time limit, signals."""

import json
import math
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
SAMPLE_PROMPTS = ("", "Why does the lying news media", "The democrats have", "Today I'll be")
SAMPLE_TOKENS = 60
SAMPLE_TEMPERATURE = 0.9
SAMPLE_TOP_P = 0.95


def steps_for_tokens(tokens: int, tokens_per_step: float) -> int:
    """The fewest steps in which so many tokens are seen."""
    return max(1, math.ceil(tokens / tokens_per_step))


class Clock(TrainerCallback):
    """Ends a run when its minutes are over, with a last evaluation and a saved state.

    Evaluations and samples count as time: the owner waits for them too.
    """

    def __init__(self, minutes: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._now = 60 * minutes, now
        self._started = now()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """The minutes count from here."""
        self._started = self._now()

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **_: Any) -> None:
        """Asks Trainer to evaluate, save and stop."""
        if self.left() == 0:
            control.should_evaluate = control.should_save = control.should_training_stop = True

    def left(self) -> float:
        """The share of the time that is left, from 1 to 0."""
        return max(0.0, 1 - (self._now() - self._started) / self._seconds)

    def learning_rate(self, step: int, warmup_steps: float) -> float:
        """As a share of the peak: rises over the first steps (below 1: over that share of the
        time), then falls with the time that is left."""
        left = self.left()
        if 0 < warmup_steps < 1:
            return min((1 - left) / warmup_steps, left)
        return min((step + 1) / (warmup_steps + 1), left)


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
        steps = state.global_step - self._first_step
        seconds = (time.monotonic() - self._started) / max(1, steps)
        figures = [
            f"{label} {logs[key]:{form}}"
            for key, label, form in (
                ("loss", "loss", ".4f"),
                ("eval_bits_per_byte", "dev bits per byte", ".4f"),
                ("learning_rate", "lr", ".2e"),
            )
            if logs and key in logs
        ]
        # The last log of a run is Trainer's own summary, which has none of these.
        if not figures:
            return
        if self._clock is None:
            step = f"{state.global_step:>5}/{state.max_steps}"
            left = f"ETA {(state.max_steps - state.global_step) * seconds / 60:.0f} min"
        else:
            step, left = f"{state.global_step:>5}", f"{self._clock.left():.0%} of the time left"
        speed = f"{self._tokens_per_step / seconds:.0f} tokens/s  {left}" if steps else ""
        print(f"step {step}  {'  '.join(figures)}  {speed}".rstrip(), flush=True)


class Samples(TrainerCallback):
    """Generates from fixed prompts every so many steps; prints and appends to a file.

    `weights` is entered while texts are generated: it may swap in the weights to be shown.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        every: int,
        path: Path,
        weights: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._tokenizer, self._every, self._path, self._weights = tokenizer, every, path, weights

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: Any,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Samples at every `every`-th step and at the last."""
        if state.global_step % self._every and state.global_step != state.max_steps:
            return
        with self._weights():
            texts = _generate(model, self._tokenizer, SAMPLE_PROMPTS, args.seed)
        with self._path.open("a", encoding="utf-8") as file:
            for text in texts:
                print(f"    ▸ {text}", flush=True)
                line = {"step": state.global_step, "text": text}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


@torch.inference_mode()
def _generate(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], seed: int
) -> list[str]:
    """One text a prompt, the prompt included. The run's own random state is left as it was."""
    eos = tokenizer.eos_token_id
    rows = [[eos, *tokenizer(p, add_special_tokens=False)["input_ids"]] for p in prompts]
    width = max(map(len, rows))
    ids = torch.tensor([[eos] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    was_training = model.training
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=SAMPLE_TOKENS,
            do_sample=True,
            temperature=SAMPLE_TEMPERATURE,
            top_p=SAMPLE_TOP_P,
            top_k=0,
            eos_token_id=eos,
            pad_token_id=eos,
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
        """Asks Trainer to save and stop."""
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
