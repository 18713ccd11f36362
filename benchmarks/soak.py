"""`soak`: whether the CPU engine grows over thousands of requests.

Knows an engine, and how its processes are looked at from outside; must not know what they do.
Warm-up requests first, until every buffer has its size; then as many again, a thousand at a
time, with prompts, lengths and settings drawn by a seed, some of them left in the middle.
"""

import argparse
import os
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import describe_machine, pss_mib
from benchmarks.report import RESULTS
from benchmarks.targets import embedded_checkpoint
from demo.checkpoints.resolve import Checkpoint
from demo.generation.engine import EngineError
from demo.generation.openvino.engine import OpenVINOEngine
from demo.generation.openvino.exported import exported_folder
from demo.generation.request import GenerationRequest
from demo.settings import read_settings

WORDS = ("the", "democrats", "have", "a", "tremendous", "problem", "with", "teapots", "everybody")
READERS = 16
ROUND = 1_000
LEFT_SHARE = 0.05


@dataclass(frozen=True)
class Reading:
    """After so many requests; memory is the PSS of this process and the worker, in MiB."""

    requests: int
    memory: float
    threads: int
    handles: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--warm-up", type=int, default=3_000, help="requests before the baseline")
    parser.add_argument("--requests", type=int, default=3_000, help="requests after it")
    parser.add_argument("--tokens", type=int, default=40, help="the longest text")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table is written")


def run(arguments: argparse.Namespace) -> int:
    """Runs, prints and writes; 1 if memory grew by a per cent or more in any thousand."""
    settings = read_settings()
    checkpoint = embedded_checkpoint()
    readings = soak(_opened(checkpoint, settings.cache_dir), arguments)
    arguments.results.mkdir(parents=True, exist_ok=True)
    text = markdown(readings, arguments.tokens)
    (arguments.results / "soak.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(growth >= 1 for growth in growths(readings)))


def _opened(checkpoint: Checkpoint, cache_dir: Path) -> OpenVINOEngine:
    folder = exported_folder(checkpoint, cache_dir, print)
    return OpenVINOEngine(folder, checkpoint, exact=True, slots=READERS)


def soak(engine: OpenVINOEngine, arguments: argparse.Namespace) -> list[Reading]:
    """The baseline, after the warm-up, and a reading for each thousand requests after it."""
    numbers = random.Random(0)
    readings = []
    with ThreadPoolExecutor(READERS) as pool:
        total = 0
        while total < arguments.warm_up + arguments.requests:
            batch = [_request(numbers, arguments.tokens) for _ in range(ROUND)]
            leaving = [numbers.random() < LEFT_SHARE for _ in batch]
            list(pool.map(lambda pair: _read(engine, *pair), zip(batch, leaving, strict=True)))
            total += ROUND
            reading = _look(total)
            print(f"{total:>6} requests: {reading.memory:.1f} MiB", flush=True)
            if total >= arguments.warm_up:
                readings.append(reading)
    engine.close()
    return readings


def _request(numbers: random.Random, tokens: int) -> GenerationRequest:
    return GenerationRequest(
        prompt=" ".join(numbers.choices(WORDS, k=numbers.randrange(12))),
        max_new_tokens=numbers.randint(1, tokens),
        temperature=numbers.uniform(0.1, 1.5),
        top_k=numbers.choice((0, 0, 40)),
        repetition_penalty=numbers.choice((1.0, 1.0, 1.2)),
        seed=numbers.randrange(2**31),
    )


def _read(engine: OpenVINOEngine, request: GenerationRequest, leaves: bool) -> None:
    stream = engine.stream(request)
    for chunk in stream:
        if leaves and chunk.text:
            stream.close()
            return
    if chunk.ending is None:
        raise EngineError("A text came without an ending.")


def _look(requests: int) -> Reading:
    return Reading(
        requests=requests,
        memory=pss_mib(os.getpid()),
        threads=threading.active_count(),
        handles=len(os.listdir("/proc/self/fd")),
    )


def growths(readings: Sequence[Reading]) -> list[float]:
    """Per cent of memory gained from each reading to the next."""
    pairs = zip(readings, readings[1:], strict=False)
    return [100 * (after.memory / before.memory - 1) for before, after in pairs]


def markdown(readings: Sequence[Reading], tokens: int) -> str:
    """The table, with machine and date."""
    changes = ["", *(f"{growth:+.2f} %" for growth in growths(readings))]
    rows = [
        f"| {r.requests:,} | {r.memory:.1f} | {change} | {r.threads} | {r.handles} |"
        for r, change in zip(readings, changes, strict=True)
    ]
    return "\n".join(
        (
            "# Soak",
            "",
            f"Written by `python -m benchmarks soak` on {datetime.now(UTC):%Y-%m-%d}. "
            f"{describe_machine()}",
            "",
            f"The embedded checkpoint in OpenVINO, {READERS} readers, texts of 1 to {tokens} "
            f"tokens, {LEFT_SHARE:.0%} of them left in the middle. Memory: PSS of both processes.",
            "",
            "| requests | memory, MiB | change | threads | handles |",
            "|---:|---:|---:|---:|---:|",
            *rows,
            "",
        )
    )
