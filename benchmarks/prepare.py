"""`prepare`: how the time and the memory of preparing an archive grow with its tweets.

Knows how a verb is run and what the system says it used; must not know how it prepares.
The tweets are made up, with an archive's variety; each size is prepared in a fresh process.
"""

import argparse
import csv
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.report import RESULTS
from tests import made_up

ROOT = Path(__file__).parent.parent
SIZES = (40_000, 200_000, 1_000_000)


@dataclass(frozen=True)
class Prepared:
    """So many tweets: seconds by the clock and of CPU, and the largest resident memory, in MiB."""

    tweets: int
    seconds: float
    cpu_seconds: float
    memory: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--tweets", type=int, nargs="+", default=SIZES, help="sizes, ascending")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table is written")


def run(arguments: argparse.Namespace) -> int:
    """Prepares each size, prints and writes the table."""
    found = []
    for tweets in arguments.tweets:
        found.append(_prepare(tweets))
        print(_row(found[-1], ""), flush=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    page = markdown(found)
    (arguments.results / "prepare.md").write_text(page, encoding="utf-8")
    print(page)
    return 0


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


def markdown(found: Sequence[Prepared]) -> str:
    """The table, with machine and date."""
    exponents = ["", *(f"{growth(*pair):.2f}" for pair in pairwise(found))]
    return "\n".join(
        (
            "# Preparing an archive",
            "",
            f"Written by `python -m benchmarks prepare` on {datetime.now(UTC):%Y-%m-%d}. "
            f"{describe_machine()}",
            "",
            "Made-up tweets as the Trump Twitter Archive's CSV: Zipf's vocabulary, copies, near "
            "copies, retweets. The whole process, start and end included. Seconds by the clock are "
            "shared with whatever else ran; growth is the exponent of CPU time from the row above.",
            "",
            "| tweets | seconds | CPU-seconds | peak memory, MiB | growth |",
            "|---:|---:|---:|---:|---:|",
            *(_row(*pair) for pair in zip(found, exponents, strict=True)),
            "",
        )
    )


def _row(one: Prepared, exponent: str) -> str:
    return (
        f"| {one.tweets:,} | {one.seconds:.1f} | {one.cpu_seconds:.1f} "
        f"| {one.memory:,.0f} | {exponent} |"
    )
