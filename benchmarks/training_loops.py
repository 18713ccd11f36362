"""One repeat of a training loop in a process of its own: ours, or the original blog post's.

Knows how both loops are started and which tokens they are scored on; must not know how repeats
are compared. Ours is `training.finetune`'s own Trainer. The original's: fp32, all weights by
AdamW, fixed blocks cut from running text, everything scored, Trainer's defaults for the rest.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from torch import Tensor
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from benchmarks.errors import BenchmarkError
from benchmarks.machine import OutsideLoad
from training.documents import UNSCORED, build_rows
from training.models import load_decoder, load_start_model, packaged_base_folder
from training.recipe import Recipe, read_recipe
from training.trainer import build_trainer

RECIPE = "embedded"
DEV_TEXTS = 8
ORIGINAL_BATCH_SIZE = 8


@dataclass(frozen=True)
class Order:
    """What is run: `base` is a decoder's folder, or empty for the recipe's own base, and
    `block_size` is in tokens; the first `uncounted_steps` warm up, and only the `counted_steps`
    after them are timed."""

    base: str
    block_size: int
    uncounted_steps: int
    counted_steps: int
    texts: list[str]

    def write(self, path: Path) -> None:
        """As JSON, for the process that carries it out."""
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Order":
        """What `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    @property
    def recipe(self) -> Recipe:
        """Ours, at this base; of the counted steps, the same share as of a run is on rounded
        weights."""
        recipe = dataclasses.replace(read_recipe(RECIPE), block_size=self.block_size)
        if self.base:
            return dataclasses.replace(recipe, base=self.base, difference=None)
        assert recipe.difference is not None
        before = self.uncounted_steps + recipe.difference.start * self.counted_steps
        changed = dataclasses.replace(recipe.difference, start=before / self.steps)
        return dataclasses.replace(recipe, difference=changed)

    @property
    def steps(self) -> int:
        """All that are made."""
        return self.uncounted_steps + self.counted_steps


@dataclass(frozen=True)
class Timed:
    """The counted steps: scored tokens, seconds, the CPU's seconds in this process, and how
    many cores everybody else kept busy meanwhile."""

    tokens: int
    seconds: float
    cpu_seconds: float
    outside_cores: float

    @property
    def speed(self) -> float:
        """Scored tokens per second."""
        return self.tokens / self.seconds

    @property
    def cpu_per_thousand(self) -> float:
        """Seconds of CPU for a thousand scored tokens."""
        return 1_000 * self.cpu_seconds / self.tokens


class _Enough(Exception):
    """Ends a run after its last counted step, with what was timed; what follows is not."""

    def __init__(self, timed: Timed) -> None:
        self.timed = timed


class _Stopwatch(TrainerCallback):
    """Counts the scored tokens that the collator hands out, and times the counted steps."""

    def __init__(self, order: Order) -> None:
        self._first, self._last = order.uncounted_steps, order.uncounted_steps + order.counted_steps
        self._scored: list[int] = []
        self._load, self._cpu_seconds = OutsideLoad(), 0.0

    def counting(self, collate: Callable[..., Any]) -> Callable[..., Any]:
        """The collator, with its scored labels counted; the first label of a row never is."""

        def counted(rows: Sequence[Any]) -> Any:
            batch = collate(rows)
            self._scored.append(int((batch["labels"][:, 1:] != UNSCORED).sum()))
            return batch

        return counted

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The clock is read where the warm-up ends, and where the counted steps do."""
        if state.global_step == self._first:
            self._load, self._cpu_seconds = OutsideLoad(), time.process_time()
        if state.global_step == self._last:
            cpu_seconds = time.process_time() - self._cpu_seconds
            load = self._load
            # The loader collates ahead, but in the order of the steps.
            each = args.gradient_accumulation_steps
            tokens = sum(self._scored[self._first * each : self._last * each])
            raise _Enough(Timed(tokens, load.seconds(), cpu_seconds, load.cores()))


def read_tokenizer(base: str) -> PreTrainedTokenizerBase:
    """Of the decoder in that folder; of the packaged base if empty."""
    return AutoTokenizer.from_pretrained(_base_folder(base))


def _base_folder(base: str) -> str:
    return base or str(packaged_base_folder())


def _ours(order: Order, out: Path, stopwatch: _Stopwatch) -> Trainer:
    recipe = order.recipe
    start = load_start_model(recipe, order.texts)
    rows = build_rows(recipe, start.tokenizer, order.texts)
    dev = order.texts[:DEV_TEXTS]
    return build_trainer(
        recipe, start, rows, dev, out, max_steps=order.steps, callbacks=[stopwatch]
    )


def _original(order: Order, out: Path, stopwatch: _Stopwatch) -> Trainer:
    model, tokenizer = load_decoder(_base_folder(order.base))
    blocks = _blocks(order.texts, tokenizer, order.block_size)
    return Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(out),
            per_device_train_batch_size=ORIGINAL_BATCH_SIZE,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=blocks,
        data_collator=transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False),
        callbacks=[stopwatch],
    )


def _blocks(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, size: int
) -> list[dict[str, Tensor]]:
    """The texts run together and cut every `size` tokens, as `TextDataset` did; the rest is
    dropped."""
    ids = tokenizer("\n".join(texts), return_tensors="pt")["input_ids"][0]
    whole = len(ids) // size * size
    return [{"input_ids": block} for block in ids[:whole].view(-1, size)]


LOOPS = {"original": _original, "ours": _ours}


def run_loop(name: str, order: Order) -> Timed:
    """Trains until the counted steps are done."""
    stopwatch = _Stopwatch(order)
    with tempfile.TemporaryDirectory() as out:
        trainer = LOOPS[name](order, Path(out), stopwatch)
        trainer.data_collator = stopwatch.counting(trainer.data_collator)
        try:
            trainer.train()
        except _Enough as end:
            return end.timed
    raise BenchmarkError(f"{len(order.texts)} texts are too few for the steps asked for.")


def main() -> int:
    """`python -m benchmarks.training_loops LOOP ORDER RESULT`: files of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=LOOPS)
    parser.add_argument("order", type=Path)
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    timed = run_loop(arguments.loop, Order.read(arguments.order))
    arguments.result.write_text(json.dumps(dataclasses.asdict(timed)), encoding="utf-8")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
