"""`soak`: whether the CPU engine grows over thousands of requests.

Warm-up requests first, until every buffer has its size; then as many again, a thousand at a
time, with prompts, lengths and settings drawn by a seed, some of them left in the middle.
"""

import os
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import typer

from benchmarks.checkpoints import embedded_checkpoint
from benchmarks.measuring import (
    RESULTS,
    ResultsOption,
    describe_run,
    pss_mib,
    table,
    write_page,
)
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


def soak(
    warm_up: Annotated[int, typer.Option(help="requests before the baseline")] = 3_000,
    requests: Annotated[int, typer.Option(help="requests after it")] = 3_000,
    tokens: Annotated[int, typer.Option(help="the longest text")] = 40,
    results: ResultsOption = RESULTS,
) -> int:
    """Runs, prints and writes; 1 if memory grew by a per cent or more in any thousand."""
    checkpoint = embedded_checkpoint()
    folder = exported_folder(checkpoint, read_settings().cache_dir, print)
    engine = OpenVINOEngine(folder, checkpoint, slots=READERS)
    chance = random.Random(0)
    readings = []
    with ThreadPoolExecutor(READERS) as pool:
        for total in range(ROUND, warm_up + requests + ROUND, ROUND):
            batch = [_request(chance, tokens) for _ in range(ROUND)]
            leaving = [chance.random() < LEFT_SHARE for _ in batch]
            list(pool.map(_read, [engine] * ROUND, batch, leaving))
            reading = _look(total)
            print(f"{total:>6} requests: {reading.memory:.1f} MiB", flush=True)
            if total >= warm_up:
                readings.append(reading)
    engine.close()
    write_page(results / "soak.md", render(readings, tokens))
    return int(any(growth >= 1 for growth in growths(readings)))


def _request(chance: random.Random, tokens: int) -> GenerationRequest:
    return GenerationRequest(
        prompt=" ".join(chance.choices(WORDS, k=chance.randrange(12))),
        max_new_tokens=chance.randint(1, tokens),
        temperature=chance.uniform(0.1, 1.5),
        top_k=chance.choice((0, 0, 40)),
        repetition_penalty=chance.choice((1.0, 1.0, 1.2)),
        seed=chance.randrange(2**31),
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
    return [100 * (after.memory / before.memory - 1) for before, after in pairwise(readings)]


def render(readings: Sequence[Reading], tokens: int) -> list[str]:
    """The paragraphs of `soak.md`."""
    changes = ["", *(f"{growth:+.2f} %" for growth in growths(readings))]
    return [
        "# Soak",
        describe_run("soak"),
        f"The embedded checkpoint in OpenVINO, {READERS} readers, texts of 1 to {tokens} tokens, "
        f"{LEFT_SHARE:.0%} of them left in the middle. Memory: PSS of both processes.",
        table(
            ("requests", "memory, MiB", "change", "threads", "handles"),
            [
                (f"{r.requests:,}", f"{r.memory:.1f}", change, str(r.threads), str(r.handles))
                for r, change in zip(readings, changes, strict=True)
            ],
        ),
    ]
