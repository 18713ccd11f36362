"""`train`: our training tokens per second against the original blog post's loop.

Knows what is trained on, how repeats alternate and how they are compared; must not know what
a loop does. Both train the same base on the same made-up texts, by turns, each repeat in a
fresh process; only scored tokens count, so neither gains by padding.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
import transformers

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.training_loops import LOOPS, RECIPE, Order, Timed, read_tokenizer
from tests import made_up, tiny
from training.recipe import Recipe, read_recipe

# As `python -m training` sets it, for both loops.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent
# Tokens of an archive's tweet, from the shortest in tenths to the longest but one in a hundred.
# Made-up sentences alone are all about equally long.
TWEET_TOKENS = (4, 14, 19, 23, 26, 28, 31, 34, 41, 59, 71)
SEED = 20_210_108
QUICK = {"repeats": 1, "uncounted": 1, "counted": 2}
HEADER = ("loop", "scored tokens/s", "CPU-seconds for 1,000", "outside load, cores")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--repeats", type=int, default=5, help="of each loop")
    parser.add_argument("--uncounted", type=int, default=2, help="steps to warm up")
    parser.add_argument("--counted", type=int, default=6, help="steps that are timed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where train.md goes")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model, to see that it runs: no figures"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measures, prints and writes the table."""
    if arguments.quick:
        vars(arguments).update(QUICK)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        order = _order(arguments, folder)
        order.write(folder / "order.json")
        timed = _alternate(arguments.repeats, folder)
    page = _page(arguments, order, timed)
    print(page)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "train.md").write_text(page, encoding="utf-8")
    return 0


def _order(arguments: argparse.Namespace, folder: Path) -> Order:
    """Texts are twice what the steps take, so that rows are packed as full as an archive's."""
    recipe = read_recipe(RECIPE)
    base, size = "", recipe.block_size
    if arguments.quick:
        base, size = str(tiny.write(folder / "tiny", tiny.llama())), tiny.CONTEXT
    steps = arguments.uncounted + arguments.counted
    tokens = 2 * steps * recipe.batch_size * recipe.gradient_accumulation * size
    texts = _texts(base, tokens)
    return Order(base, size, arguments.uncounted, arguments.counted, texts)


def _texts(base: str, tokens: int) -> list[str]:
    """Made-up tweets of so many tokens in all, as long as real ones: the same every time."""
    tokenizer = read_tokenizer(base)
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


def _alternate(repeats: int, folder: Path) -> Mapping[str, Sequence[Timed]]:
    timed: dict[str, list[Timed]] = {name: [] for name in LOOPS}
    for repeat in range(repeats):
        for name, found in timed.items():
            found.append(_fresh_process(name, folder))
            print(f"{repeat + 1}/{repeats} {name}: {found[-1].speed:.0f} tokens/s", flush=True)
    return timed


def _fresh_process(name: str, folder: Path) -> Timed:
    result = folder / "result.json"
    command = [sys.executable, "-m", "benchmarks.training_loops", name]
    done = subprocess.run(
        [*command, str(folder / "order.json"), str(result)],
        cwd=ROOT,
        env={**os.environ, **WAITING},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BenchmarkError(f"The loop {name!r} failed: {done.stderr.strip()[-2_000:]}")
    return Timed(**json.loads(result.read_text(encoding="utf-8")))


def _page(arguments: argparse.Namespace, order: Order, timed: Mapping[str, Sequence[Timed]]) -> str:
    pairs = list(zip(timed["original"], timed["ours"], strict=True))
    by_clock = [ours.speed / original.speed for original, ours in pairs]
    by_cpu = [original.cpu_per_thousand / ours.cpu_per_thousand for original, ours in pairs]
    lines = [
        "# Training: the recipe `embedded` against the original's loop",
        "",
        f"{describe_machine()} {datetime.now(UTC):%Y-%m-%d}; torch {torch.__version__}, "
        f"transformers {transformers.__version__}, {torch.get_num_threads()} threads, "
        f"OMP_WAIT_POLICY {WAITING['OMP_WAIT_POLICY']}.",
        *(("", "A tiny model, to see that it runs: these are no figures.") * arguments.quick),
        "",
        "The same base and the same made-up tweets, of lengths as the archive's; batch "
        f"{order.recipe.batch_size} × {order.block_size} for both. The original's loop: fp32, all "
        "weights by AdamW, blocks cut from running text. Ours: `training.finetune`'s own Trainer, "
        f"all weights too{_rounded(order.recipe)}. "
        f"{arguments.repeats} repeats of each by turns, every one a fresh process; "
        f"{arguments.uncounted} steps to warm up (and compile), then {arguments.counted} counted. "
        "Only scored tokens count. Medians (lowest–highest).",
        "",
        _row(HEADER),
        _row(["---", *["---:"] * (len(HEADER) - 1)]),
        *(_row([name, *_cells(found)]) for name, found in timed.items()),
        "",
        f"**Ours / original: {_spread(by_clock, '.2f')}** by the clock, {_spread(by_cpu, '.2f')} "
        "by CPU-seconds, neighbours in time compared.",
        "",
    ]
    return "\n".join(lines)


def _rounded(recipe: Recipe) -> str:
    if recipe.difference is None:
        return ""
    return ", the last of the counted steps on rounded ones: as large a part as of a run"


def _cells(found: Sequence[Timed]) -> Iterator[str]:
    yield _spread([one.speed for one in found], ".0f")
    yield _spread([one.cpu_per_thousand for one in found], ".2f")
    yield _spread([one.outside_cores for one in found], ".2f")


def _spread(values: Sequence[float], form: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}}–{high:{form}})"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
