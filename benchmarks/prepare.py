"""`prepare`: how the time and the memory of preparing an archive grow with its tweets.

The tweets are made up, with an archive's variety; each size is prepared in a fresh process.
"""

import csv
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import BenchmarkError
from benchmarks.measuring import RESULTS, ROOT, ResultsOption, describe_run, table, write_page
from tests import made_up

SIZES = [40_000, 200_000, 1_000_000]


@dataclass(frozen=True)
class Prepared:
    """Seconds by the clock and of CPU for that many tweets, and the peak resident memory in MiB."""

    tweets: int
    seconds: float
    cpu_seconds: float
    memory: float


def prepare(
    tweets: Annotated[
        list[int] | None, typer.Option(help="a size; again for more, ascending")
    ] = None,
    results: ResultsOption = RESULTS,
) -> None:
    found = []
    for size in tweets or SIZES:
        found.append(_prepare(size))
        print(f"{size:,} tweets: {found[-1].seconds:.1f} s", flush=True)
    write_page(results / "prepare.md", render(found))


def _prepare(tweets: int) -> Prepared:
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / "archive.csv"
        with archive.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, made_up.COLUMNS)
            writer.writeheader()
            writer.writerows(made_up.varied(tweets))
        command = ["-m", "training", "prepare", str(archive), "--out", str(Path(name) / "data")]
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"Preparing {tweets:,} tweets failed; what it said is above.")
    return Prepared(tweets, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def growth(smaller: Prepared, larger: Prepared) -> float:
    """The exponent with which CPU time grew: 1 is in proportion, 2 with the square."""
    times = larger.cpu_seconds / smaller.cpu_seconds
    return math.log(times) / math.log(larger.tweets / smaller.tweets)


def render(found: Sequence[Prepared]) -> list[str]:
    exponents = ["", *(f"{growth(*pair):.2f}" for pair in pairwise(found))]
    return [
        "# Preparing an archive",
        describe_run("prepare"),
        "Made-up tweets as the Trump Twitter Archive's CSV: Zipf's vocabulary, copies, near "
        "copies, retweets. The whole process, start and end included. Seconds by the clock are "
        "shared with whatever else ran; growth is the exponent of CPU time from the row above.",
        table(
            ("tweets", "seconds", "CPU-seconds", "peak memory, MiB", "growth"),
            [
                (f"{one.tweets:,}", f"{one.seconds:.1f}", f"{one.cpu_seconds:.1f}",
                 f"{one.memory:,.0f}", exponent)
                for one, exponent in zip(found, exponents, strict=True)
            ],
        ),
    ]  # fmt: skip
