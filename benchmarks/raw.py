"""`raw`: engines without an app around them, decoding side by side.

Knows which engines there are and in which order they run; must not know how any of them works.
All are loaded at once and decode by turns, so that whatever else the machine does hits them alike.
"""

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.engines.weights import matrix_parameters
from benchmarks.engines.worker import Worker, WorkerFailed, export_once
from benchmarks.machine import OutsideLoad, describe_machine, measure_bandwidth, pss_mib
from benchmarks.raw_report import Results, Row, Speeds, markdown, write
from benchmarks.targets import TARGETS, add_measuring_arguments

RESULTS = Path(__file__).parent / "results"
NOT_INSTALLED = "not installed"
PACKAGES = ("openvino-genai", "onnxruntime", "llama-cpp-python", "transformers", "torch")


@dataclass(frozen=True)
class Engine:
    """A worker program, the packages it needs, and how many bits it keeps a weight in, the
    scales of its blocks included. Without an exporter it takes the checkpoint as it is."""

    name: str
    worker: str
    exporter: str
    packages: tuple[str, ...]
    bits: float
    setting: str = ""
    is_peer: bool = True


_OPENVINO = Engine(
    name="OpenVINO int8, fast",
    worker="benchmarks.engines.openvino_cb",
    exporter="demo.generation.openvino.export",
    packages=("openvino_genai",),
    bits=8,
    setting="fast",
    is_peer=False,
)
ENGINES = (
    _OPENVINO,
    replace(_OPENVINO, name="OpenVINO int8, exact", setting="exact"),
    Engine(
        name="ONNX Runtime int8",
        worker="benchmarks.engines.onnx_runtime",
        exporter="benchmarks.engines.onnx_export",
        packages=("onnx", "onnxruntime"),
        bits=8,
    ),
    Engine(
        name="llama.cpp q8_0",
        worker="benchmarks.engines.llama_cpp",
        exporter="benchmarks.engines.gguf_export",
        packages=("llama_cpp",),
        bits=8.5,
    ),
    Engine(
        name="transformers fp32",
        worker="benchmarks.engines.transformers_generate",
        exporter="",
        packages=("transformers",),
        bits=32,
    ),
)


@dataclass(frozen=True)
class Shape:
    """A checkpoint folder, by the name it has in the tables."""

    name: str
    checkpoint: Path


@dataclass(frozen=True)
class Plan:
    """How often each engine decodes, and how many new tokens for each size of a batch."""

    repeats: int
    new_tokens: Mapping[int, int]
    threads: int


@dataclass(frozen=True)
class Loaded:
    """An engine's worker, ready, and what it took in memory when it was alone."""

    engine: Engine
    worker: Worker
    memory_mib: float


FULL = Plan(repeats=7, new_tokens={1: 64, 16: 32}, threads=os.cpu_count() or 1)
QUICK = replace(FULL, repeats=1, new_tokens={1: 8, 16: 4})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    add_measuring_arguments(parser, FULL.repeats, "turns of each engine")


def run(arguments: argparse.Namespace) -> int:
    """Measures, prints, writes; the exit code is 1 if an engine that is installed failed."""
    # Told to end, it first ends what it started, as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = QUICK if arguments.quick else replace(FULL, repeats=arguments.repeats)
    names = arguments.checkpoint or (["tiny"] if arguments.quick else ["gpt2-medium", "embedded"])
    folder = arguments.results or (None if arguments.quick else RESULTS)
    seen = _observe(plan, names)
    print(markdown(seen))
    if folder:
        write(seen, folder)
    return int(any(row.note not in ("", NOT_INSTALLED) for row in seen.rows))


def measure(shape: Shape, plan: Plan, scratch: Path) -> list[Row]:
    """A row for every engine; one that is not installed, or fails, says so in its row."""
    rows: dict[Engine, Row] = {}
    with ExitStack() as stack:
        loaded: list[Loaded] = []
        for engine in ENGINES:
            _say(f"{shape.name}: {engine.name} is exported and loaded …")
            rows[engine] = _row(engine, shape)
            try:
                loaded.append(_load(engine, shape, plan, scratch, stack))
            except WorkerFailed as error:
                rows[engine] = replace(rows[engine], note=str(error))
        speeds = _by_turns(loaded, plan, shape.name)
        for one in loaded:
            rows[one.engine] = replace(
                rows[one.engine], memory_mib=one.memory_mib, speeds=speeds[one.engine]
            )
    return list(rows.values())


def _observe(plan: Plan, names: Sequence[str]) -> Results:
    _say("The memory's bandwidth …")
    bandwidth = measure_bandwidth()
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    with tempfile.TemporaryDirectory() as scratch:
        shapes = (_shape(name, Path(scratch)) for name in names)
        rows = tuple(row for shape in shapes for row in measure(shape, plan, Path(scratch)))
    return Results(date, describe_machine(), _versions(), bandwidth, plan.threads, rows)


def _shape(name: str, scratch: Path) -> Shape:
    _say(f"{name}: the checkpoint is made …")
    target = TARGETS[name](scratch)
    return Shape(target.name, Path(target.variables["original"]["CHECKPOINT"]))


def _row(engine: Engine, shape: Shape) -> Row:
    weight_bytes = matrix_parameters(shape.checkpoint) * engine.bits / 8
    return Row(shape.name, engine.name, engine.is_peer, weight_bytes)


def _load(engine: Engine, shape: Shape, plan: Plan, scratch: Path, stack: ExitStack) -> Loaded:
    """The worker that stays; one before it shows what it takes in memory when it is alone,
    since workers that share a library or a file count a part of it each."""
    if not all(map(importlib.util.find_spec, engine.packages)):
        raise WorkerFailed(NOT_INSTALLED)
    log = scratch / f"{engine.worker}.log"
    folder = shape.checkpoint
    if engine.exporter:
        folder = scratch / f"{shape.checkpoint.name}-{engine.exporter}"
        if not folder.exists():
            export_once(engine.exporter, shape.checkpoint, folder, log)
    options = [f"--setting={engine.setting}", f"--threads={plan.threads}"]
    command = [str(shape.checkpoint), str(folder), *options]
    with closing(Worker(engine.worker, command, log)) as alone:
        _warm(alone, plan)
        memory = pss_mib(alone.pid)
    worker = stack.enter_context(closing(Worker(engine.worker, command, log)))
    _warm(worker, plan)
    return Loaded(engine, worker, memory)


def _warm(worker: Worker, plan: Plan) -> None:
    for batch, new_tokens in plan.new_tokens.items():
        worker.run(batch, new_tokens)


def _by_turns(
    loaded: Sequence[Loaded], plan: Plan, name: str
) -> Mapping[Engine, tuple[Speeds, ...]]:
    """Every engine in every repeat, each time another one first."""
    runs: dict[tuple[Engine, int], list[tuple[float, float]]] = defaultdict(list)
    for repeat in range(plan.repeats):
        _say(f"{name}: repeat {repeat + 1} of {plan.repeats} …")
        first = repeat % max(1, len(loaded))
        for batch, new_tokens in plan.new_tokens.items():
            for one in (*loaded[first:], *loaded[:first]):
                outside = OutsideLoad()
                timing = one.worker.run(batch, new_tokens)
                speed, others = timing.tokens / timing.seconds, outside.cores()
                runs[one.engine, batch].append((speed, others))
                _say(
                    f"  batch of {batch}: {speed:.1f} tokens/s by {one.engine.name}, "
                    f"others on {others:.2f} cores"
                )
    return {one.engine: tuple(_speeds(one.engine, runs, plan)) for one in loaded}


def _speeds(
    engine: Engine, runs: Mapping[tuple[Engine, int], Sequence[tuple[float, float]]], plan: Plan
) -> Iterator[Speeds]:
    for batch, new_tokens in plan.new_tokens.items():
        speeds, outside = zip(*runs[engine, batch], strict=True)
        yield Speeds(batch, new_tokens, speeds, outside)


def _versions() -> str:
    return ", ".join(found for package in PACKAGES if (found := _version(package))) + "."


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
