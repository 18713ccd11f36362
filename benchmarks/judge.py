"""`judge`: how long the judges take over one text.

Knows the embedded checkpoint's judges and a clock; must not know how they work. The texts are
made up, of lengths as the archive's.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.machine import OutsideLoad, describe_machine
from benchmarks.report import RESULTS
from demo.judging import detector, originals
from demo.judging.files import UnusableFile
from tests import made_up
from training.card import EMBEDDED

WARM_UP = 200


@dataclass(frozen=True)
class Timed:
    """One judge: milliseconds a text at the median, at the 99th percentile, and at most."""

    name: str
    median: float
    p99: float
    highest: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED, help="default: embedded/")
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table is written")


def run(arguments: argparse.Namespace) -> int:
    """Times both, prints and writes the table."""
    texts = [row["text"] for row in made_up.varied(arguments.texts + WARM_UP)]
    try:
        index = originals.Originals.load(arguments.checkpoint / originals.NAME)
        judge = detector.Detector.load(arguments.checkpoint / detector.NAME)
    except UnusableFile as error:
        raise BenchmarkError(f"{error} Run `python -m training judges` first.") from error
    load = OutsideLoad()
    found = [_timed("originals", index.repeats, texts), _timed("detector", judge.judge, texts)]
    page = markdown(found, texts[WARM_UP:], load.cores())
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "judge.md").write_text(page, encoding="utf-8")
    print(page)
    return 0


def _timed(name: str, judge: Callable[[str], object], texts: Sequence[str]) -> Timed:
    took = []
    for text in texts:
        started = time.perf_counter()
        judge(text)
        took.append(1000 * (time.perf_counter() - started))
    counted = np.array(took[WARM_UP:])
    return Timed(name, *np.quantile(counted, [0.5, 0.99, 1.0]).tolist())


def markdown(found: Sequence[Timed], texts: Sequence[str], outside: float) -> str:
    """The table, with machine and date."""
    lengths = np.quantile([len(text) for text in texts], [0.5, 0.99])
    return "\n".join(
        (
            "# Judging a text",
            "",
            f"Written by `python -m benchmarks judge` on {datetime.now(UTC):%Y-%m-%d}. "
            f"{describe_machine()} Others kept {outside:.2f} cores busy.",
            "",
            f"{len(texts):,} made-up tweets, one after the other in one thread: half of at most "
            f"{lengths[0]:.0f} characters, 99 in 100 of at most {lengths[1]:.0f}.",
            "",
            "| judge | median, ms | p99, ms | highest, ms |",
            "|---|---:|---:|---:|",
            *(f"| {t.name} | {t.median:.3f} | {t.p99:.3f} | {t.highest:.2f} |" for t in found),
            "",
        )
    )
