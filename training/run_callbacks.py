"""What a run shows and obeys on its way: progress, samples, a signal to stop.

Knows Trainer's callbacks; must not know recipes or files other than the samples'.
"""

import json
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
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

from training.budget import Clock

SAMPLE_PROMPTS = ("", "Why does the lying news media", "The democrats have", "Today I'll be")
SAMPLE_TOKENS = 60
SAMPLE_TEMPERATURE = 0.9
SAMPLE_TOP_P = 0.95


class Progress(TrainerCallback):
    """Prints a line at each log: step, loss, bits per byte on dev, learning rate, tokens per
    second, and the time left, which the clock knows if there is one."""

    def __init__(self, tokens_per_step: float, clock: Clock | None) -> None:
        self._tokens_per_step, self._clock = tokens_per_step, clock
        self._started = 0.0
        self._first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Time is counted from here, also after a resume."""
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """One line, whatever of the figures this log has."""
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
        # The last log of a run has Trainer's own summary, and none of these.
        if not figures:
            return
        if self._clock is None:
            place = f"{state.global_step:>5}/{state.max_steps}"
            left = f"ETA {(state.max_steps - state.global_step) * seconds / 60:.0f} min"
        else:
            place, left = f"{state.global_step:>5}", f"{self._clock.left():.0%} of the time left"
        speed = f"{self._tokens_per_step / seconds:.0f} tokens/s  {left}" if steps else ""
        print(f"step {place}  {'  '.join(figures)}  {speed}".rstrip(), flush=True)


class Samples(TrainerCallback):
    """Generates from fixed prompts every so many steps; prints and appends to a file."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        every: int,
        path: Path,
        shown: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`shown` gives the weights that generate, for as long as it lasts."""
        self._tokenizer, self._every, self._path = tokenizer, every, path
        self._shown = shown

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Samples at every `every`-th step and at the last."""
        if state.global_step % self._every and state.global_step != state.max_steps:
            return
        with self._shown():
            texts = sample(model, self._tokenizer, SAMPLE_PROMPTS, args.seed)
        with self._path.open("a", encoding="utf-8") as file:
            for text in texts:
                print(f"    ▸ {text}", flush=True)
                line = {"step": state.global_step, "text": text}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


class StopOnSignal(TrainerCallback):
    """Ctrl-C or SIGTERM ends the run after the step under way, with its state saved."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Only while training: before and after, a signal does what it always did."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Asks Trainer to save and stop."""
        if self.signal is not None:
            control.should_save = control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Gives the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        print("\nStopping after this step; once more to stop at once.", flush=True)


@torch.inference_mode()
def sample(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], seed: int
) -> list[str]:
    """One text a prompt, the prompt included. The run's own random state is left as it was."""
    mark = tokenizer.eos_token_id
    encoded = [
        [mark, *tokenizer(prompt, add_special_tokens=False)["input_ids"]] for prompt in prompts
    ]
    width = max(map(len, encoded))
    ids = torch.tensor([[mark] * (width - len(row)) + row for row in encoded])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in encoded])
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
            eos_token_id=mark,
            pad_token_id=mark,
            use_cache=True,
        )
    model.train(was_training)
    return [text.strip() for text in tokenizer.batch_decode(output, skip_special_tokens=True)]
