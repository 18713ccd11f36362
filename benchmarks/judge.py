"""`judge`: how long the judges of the embedded checkpoint take over one text.

The texts are made up, of lengths as the archive's.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import BenchmarkError
from benchmarks.measuring import (
    RESULTS,
    OutsideLoad,
    ResultsOption,
    describe_run,
    table,
    write_page,
)
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


def judge(
    checkpoint: Annotated[Path, typer.Option(help="default: embedded/")] = EMBEDDED,
    texts: Annotated[int, typer.Option(help="how many")] = 20_000,
    results: ResultsOption = RESULTS,
) -> None:
    """Times both, prints and writes the table."""
    made = [row["text"] for row in made_up.varied(texts + WARM_UP)]
    try:
        index = originals.Originals.load(checkpoint / originals.NAME)
        classifier = detector.Detector.load(checkpoint / detector.NAME)
    except UnusableFile as error:
        raise BenchmarkError(f"{error} Run `python -m training judges` first.") from error
    load = OutsideLoad()
    found = [
        time_judge("originals", index.repeats, made),
        time_judge("detector", classifier.judge, made),
    ]
    write_page(results / "judge.md", render(found, made[WARM_UP:], load.cores()))


def time_judge(name: str, judged: Callable[[str], object], texts: Sequence[str]) -> Timed:
    """Times one call for each text, one after the other; the first ones warm up."""
    milliseconds = []
    for text in texts:
        started = time.perf_counter()
        judged(text)
        milliseconds.append(1000 * (time.perf_counter() - started))
    return Timed(name, *np.quantile(milliseconds[WARM_UP:], [0.5, 0.99, 1.0]).tolist())


def render(found: Sequence[Timed], texts: Sequence[str], outside_cores: float) -> list[str]:
    """The paragraphs of `judge.md`."""
    lengths = np.quantile([len(text) for text in texts], [0.5, 0.99])
    return [
        "# Judging a text",
        describe_run("judge", outside_cores),
        f"{len(texts):,} made-up tweets, one after the other in one thread: half of at most "
        f"{lengths[0]:.0f} characters, 99 in 100 of at most {lengths[1]:.0f}.",
        table(
            ("judge", "median, ms", "p99, ms", "highest, ms"),
            [(t.name, f"{t.median:.3f}", f"{t.p99:.3f}", f"{t.highest:.3f}") for t in found],
        ),
    ]
