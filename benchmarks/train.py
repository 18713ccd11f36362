"""`train`: scored tokens a second of our recipe against the original blog post's loop.

Both train the same base on the same made-up texts, in turn, each repeat in a fresh process; only
scored tokens count, so neither gains by padding. Ours is `training.finetune`'s own Trainer. The
original's: fp32, all weights by AdamW, fixed blocks cut from running text, everything scored,
Trainer's defaults for the rest.
"""

import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
import typer
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainerState, TrainingArguments

from benchmarks import BenchmarkError
from benchmarks.measuring import RESULTS, OutsideLoad, describe_run, spread, table, write_page
from tests import made_up, tiny
from training.command_line import flag
from training.documents import UNSCORED, build_rows
from training.models import load_decoder, load_start_model, packaged_base_folder
from training.recipe import Recipe, read_recipe
from training.trainer import build_trainer

RECIPE = "embedded"
# As `python -m training` sets it, for both loops.
WAIT_POLICY = {"OMP_WAIT_POLICY": "PASSIVE"}
# Tokens of an archive's tweet, from the shortest in tenths to the longest but one in a hundred.
# Made-up sentences alone are all about equally long.
TWEET_TOKENS = (4, 14, 19, 23, 26, 28, 31, 34, 41, 59, 71)
SEED = 20_210_108
DEV_TEXTS = 8
ORIGINAL_BATCH_SIZE = 8


@dataclass(frozen=True)
class Job:
    """What both loops train: `base` is a decoder's folder, or empty for the recipe's own base, and
    `block_size` is in tokens; the first `warm_up` steps are not timed, the `counted` ones are."""

    base: str
    block_size: int
    warm_up: int
    counted: int
    texts: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        return self.warm_up + self.counted

    @property
    def base_folder(self) -> str:
        return self.base or str(packaged_base_folder())

    @property
    def recipe(self) -> Recipe:
        """Ours, at this base; as large a share of the counted steps is on rounded weights as of a
        whole run."""
        recipe = read_recipe(RECIPE).changed(block_size=self.block_size)
        if self.base:
            return recipe.changed(base=self.base, difference=None)
        assert recipe.difference is not None
        before = self.warm_up + recipe.difference.start * self.counted
        start = {"start": before / self.steps}
        return recipe.changed(difference=recipe.difference.model_copy(update=start))


@dataclass(frozen=True)
class Timed:
    """The counted steps: scored tokens, seconds, CPU seconds of this process, and how many cores
    other programs kept busy meanwhile."""

    tokens: int
    seconds: float
    cpu_seconds: float
    outside_cores: float

    @property
    def speed(self) -> float:
        return self.tokens / self.seconds

    @property
    def cpu_per_thousand(self) -> float:
        """CPU seconds for a thousand scored tokens."""
        return 1_000 * self.cpu_seconds / self.tokens


def train(
    repeats: Annotated[int, typer.Option(help="of each loop")] = 5,
    uncounted: Annotated[int, typer.Option(help="steps to warm up")] = 2,
    counted: Annotated[int, typer.Option(help="steps that are timed")] = 6,
    out: Annotated[Path, typer.Option(help="where train.md goes")] = RESULTS,
    quick: Annotated[bool, flag("quick", "a tiny model, to see that it runs: no figures")] = False,
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        if quick:
            base = tiny.write(Path(scratch) / "tiny", tiny.llama())
            repeats, job = 1, Job(str(base), tiny.CONTEXT, 1, 2)
        else:
            job = Job("", read_recipe(RECIPE).block_size, uncounted, counted)
        job = replace(job, texts=tuple(_make_texts(job)))
        timed: dict[str, list[Timed]] = {name: [] for name in LOOPS}
        for repeat in range(repeats):
            for name, found in timed.items():
                found.append(_run_in_fresh_process(name, job))
                print(f"{repeat + 1}/{repeats} {name}: {found[-1].speed:.0f} tokens/s", flush=True)
    write_page(out / "train.md", render(timed, job, quick))


def _make_texts(job: Job) -> list[str]:
    """Made-up tweets as long as real ones, the same every time; twice what the steps take, so that
    rows are packed as full as an archive's."""
    recipe = job.recipe
    tokens = 2 * job.steps * recipe.batch_size * recipe.gradient_accumulation * job.block_size
    tokenizer = AutoTokenizer.from_pretrained(job.base_folder)
    chance = random.Random(SEED)
    texts = []
    while tokens > 0:
        tenth = chance.randrange(len(TWEET_TOKENS) - 1)
        length = chance.randint(*TWEET_TOKENS[tenth : tenth + 2])
        words = " ".join(made_up.sentence(chance) for _ in range(1 + length // 16))
        ids = tokenizer(words)["input_ids"][:length]
        texts.append(str(tokenizer.decode(ids)))
        tokens -= len(ids)
    return texts


def _run_in_fresh_process(name: str, job: Job) -> Timed:
    # OpenMP reads it when the new process imports torch.
    os.environ.update(WAIT_POLICY)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run_loop, name, job).result()


def run_loop(name: str, job: Job) -> Timed:
    """Trains until the counted steps are done. Raises BenchmarkError if the texts end before."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    stopwatch = _Stopwatch(job)
    with tempfile.TemporaryDirectory() as out:
        trainer = LOOPS[name](job, Path(out), stopwatch)
        trainer.data_collator = stopwatch.counting(trainer.data_collator)
        with suppress(_Finished):
            trainer.train()
    if stopwatch.timed is None:
        raise BenchmarkError(f"{len(job.texts)} texts are too few for the steps asked for.")
    return stopwatch.timed


class _Finished(Exception):
    """Ends a run after its last counted step: what follows is not timed."""


class _Stopwatch(TrainerCallback):
    """Counts the scored tokens that the collator hands out, and times the counted steps."""

    def __init__(self, job: Job) -> None:
        self._first, self._last = job.warm_up, job.steps
        self._scored: list[int] = []
        self._load, self._cpu_seconds = OutsideLoad(), 0.0
        self.timed: Timed | None = None

    def counting(self, collate: Callable[..., Any]) -> Callable[..., Any]:
        """The collator, with its scored labels counted; the first label of a row never is."""

        def counted(rows: Sequence[Any]) -> Any:
            batch = collate(rows)
            self._scored.append(int((batch["labels"][:, 1:] != UNSCORED).sum()))
            return batch

        return counted

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Reads the clocks where the warm-up ends, and where the counted steps do."""
        if state.global_step == self._first:
            self._load, self._cpu_seconds = OutsideLoad(), time.process_time()
        if state.global_step == self._last:
            cpu_seconds = time.process_time() - self._cpu_seconds
            # The loader collates ahead, but in the order of the steps.
            each = args.gradient_accumulation_steps
            tokens = sum(self._scored[self._first * each : self._last * each])
            self.timed = Timed(tokens, self._load.seconds(), cpu_seconds, self._load.cores())
            raise _Finished


def _ours(job: Job, out: Path, stopwatch: _Stopwatch) -> Trainer:
    recipe = job.recipe
    start = load_start_model(recipe, job.texts)
    rows = build_rows(recipe, start.tokenizer, job.texts)
    dev = job.texts[:DEV_TEXTS]
    return build_trainer(recipe, start, rows, dev, out, max_steps=job.steps, callbacks=[stopwatch])


def _original(job: Job, out: Path, stopwatch: _Stopwatch) -> Trainer:
    model, tokenizer = load_decoder(job.base_folder)
    # The texts run together and cut every block, as `TextDataset` did; the rest is dropped.
    ids = tokenizer("\n".join(job.texts), return_tensors="pt")["input_ids"][0]
    whole = len(ids) // job.block_size * job.block_size
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
        train_dataset=[{"input_ids": one} for one in ids[:whole].view(-1, job.block_size)],
        data_collator=transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False),
        callbacks=[stopwatch],
    )


LOOPS = {"original": _original, "ours": _ours}


def _figures(timed: Timed) -> tuple[float, float, float]:
    return timed.speed, timed.cpu_per_thousand, timed.outside_cores


def render(timed: dict[str, list[Timed]], job: Job, quick: bool) -> list[str]:
    pairs = list(zip(timed["original"], timed["ours"], strict=True))
    by_clock = [ours.speed / original.speed for original, ours in pairs]
    by_cpu = [original.cpu_per_thousand / ours.cpu_per_thousand for original, ours in pairs]
    recipe = job.recipe
    rounded = ""
    if recipe.difference is not None:
        rounded = ", the last of the counted steps on rounded ones: as large a part as of a run"
    return [
        "# Training: the recipe `embedded` against the original's loop",
        f"{describe_run('train')} torch {torch.__version__}, transformers "
        f"{transformers.__version__}, {torch.get_num_threads()} threads, "
        f"OMP_WAIT_POLICY {WAIT_POLICY['OMP_WAIT_POLICY']}.",
        "A tiny model, to see that it runs: these are no figures." if quick else "",
        "The same base and the same made-up tweets, of lengths as the archive's; batch "
        f"{recipe.batch_size} × {job.block_size} for both. The original's loop: fp32, all "
        "weights by AdamW, blocks cut from running text. Ours: `training.finetune`'s own Trainer, "
        f"all weights too{rounded}. {len(pairs)} repeats of each in turn, every one a fresh "
        f"process; {job.warm_up} steps to warm up (and compile), then {job.counted} counted. "
        "Only scored tokens count. Medians (lowest to highest).",
        table(
            ("loop", "scored tokens/s", "CPU-seconds for 1,000", "outside load, cores"),
            [
                (name, *map(spread, zip(*map(_figures, found), strict=True)))
                for name, found in timed.items()
            ],
        ),
        f"**Ours / original: {spread(by_clock)}** by the clock, {spread(by_cpu)} by CPU-seconds, "
        "neighbours in time compared.",
    ]
