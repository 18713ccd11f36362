"""`raw`: engines without an app around them, decoding side by side.

All are loaded at once and decode in turn, so that whatever else the machine does hits them alike.
A speed is the median over the repeats; a ratio is one of medians.
"""

import importlib.util
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from benchmarks.checkpoints import (
    CheckpointOption,
    OptionalResults,
    QuickOption,
    Target,
    chosen_names,
    make_target,
    read_parameters,
)
from benchmarks.engines import (
    PROMPT_TOKENS,
    REPETITION_PENALTY,
    TEMPERATURE,
    Engine,
    LlamaCpp,
    OnnxRuntime,
    OpenVINO,
    Transformers,
    Worker,
    WorkerFailed,
    last_line,
    read_documents,
)
from benchmarks.measuring import (
    NOTHING,
    RESULTS,
    ROOT,
    OutsideLoad,
    describe_run,
    measure_bandwidth,
    pss_mib,
    spread,
    table,
    write_page,
)

NOT_INSTALLED = "not installed"
PACKAGES = ("openvino-genai", "onnxruntime", "llama-cpp-python", "transformers", "torch")
# int8 weights and activations move logits, but an engine that decodes wrongly correlates at 0.
LEAST_CORRELATION = 0.8


@dataclass(frozen=True)
class Peer:
    """An engine, the module that exports for it, the packages it needs, and how many bits it keeps
    a weight in, the scales of its blocks included."""

    name: str
    engine: type[Engine]
    exporter: tuple[str, ...]
    packages: tuple[str, ...]
    bits: float
    is_ours: bool = False


ONNX, GGUF = (("benchmarks.exports", name) for name in ("onnx", "gguf"))
PEERS = (
    Peer(
        "OpenVINO int8", OpenVINO, ("demo.generation.openvino.export",), ("openvino_genai",), 8,
        is_ours=True,
    ),
    Peer("ONNX Runtime int8", OnnxRuntime, ONNX, ("onnxscript", "onnxruntime"), 8),
    Peer("llama.cpp q8_0", LlamaCpp, GGUF, ("llama_cpp",), 8.5),
    Peer("transformers fp32", Transformers, (), ("transformers",), 32),
)  # fmt: skip
REPEATS = 7
# A peer that costs more bits per byte than this, in per cent, is not held against ours.
EQUAL_QUALITY_PERCENT = 0.3
THREADS = os.cpu_count() or 1


class Load(NamedTuple):
    """What an engine is given: a batch of prompts, and how its new tokens are drawn."""

    batch: int
    new_tokens: int
    top_p: float


LOADS = tuple(Load(*one, top_p) for top_p in (1.0, 0.95) for one in ((1, 64), (4, 48), (16, 32)))
QUICK_LOADS = (Load(1, 8, 1.0), Load(16, 4, 0.95))


@dataclass
class Speeds:
    """Tokens a second of all texts of a batch in each repeat, prompts included, and how many cores
    other programs kept busy meanwhile."""

    load: Load
    tokens_per_second: list[float] = field(default_factory=list)
    outside_cores: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.tokens_per_second)


@dataclass
class Row:
    """One engine on one checkpoint. `weight_bytes` are read for every step of a batch;
    `memory_mib` is the PSS of its process alone, after a batch of each size; `correlation` is that
    of its logits with transformers', None where an engine gives none; `bits_per_byte` are of
    held-out tweets, None where the weights are random or no tweets were given.

    `note` says why there are no figures, and is empty where there are.
    """

    checkpoint: str
    engine: str
    is_peer: bool
    weight_bytes: float
    memory_mib: float = 0.0
    correlation: float | None = None
    bits_per_byte: float | None = None
    speeds: list[Speeds] = field(default_factory=list)
    note: str = ""


def raw(
    quick: QuickOption = False,
    checkpoint: CheckpointOption = None,
    repeats: Annotated[int, typer.Option(help="turns of each engine")] = REPEATS,
    data: Annotated[
        Path | None,
        typer.Option(help="what `training prepare` wrote: bits per byte on its test tweets too"),
    ] = None,
    results: OptionalResults = None,
) -> int:
    """Measures, prints, writes; the exit code is 1 if an engine that is installed failed."""
    repeats, loads = (1, QUICK_LOADS) if quick else (repeats, LOADS)
    folder = results or (None if quick else RESULTS)
    _say("The memory's bandwidth …")
    bandwidth = measure_bandwidth()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in chosen_names(checkpoint, quick):
            _say(f"{name}: the checkpoint is made …")
            target = make_target(name, Path(scratch))
            rows += measure(
                target, repeats, loads, None if target.is_random else data, Path(scratch)
            )
    write_page(folder and folder / "raw.md", render(rows, bandwidth))
    return int(any(row.note not in ("", NOT_INSTALLED) for row in rows))


def measure(
    target: Target, repeats: int, loads: Sequence[Load], data: Path | None, scratch: Path
) -> list[Row]:
    """A row for every engine; one that is not installed, or fails, says so in its row. Bits per
    byte are measured if there are prepared tweets in `data`."""
    parameters = read_parameters(target.folder)
    rows = {
        peer: Row(target.name, peer.name, not peer.is_ours, parameters * peer.bits / 8)
        for peer in PEERS
    }
    workers: dict[Peer, Worker] = {}
    with ExitStack() as stack:
        for peer, row in rows.items():
            _say(f"{target.name}: {peer.name} is exported and loaded …")
            try:
                workers[peer], row.memory_mib = _load(peer, target.folder, loads, scratch, stack)
            except WorkerFailed as error:
                row.note = str(error)
        compare_logits(workers, rows)
        _decode_in_turn(workers, rows, repeats, loads)
        if data is not None:
            _measure_quality(workers, rows, target.folder, data)
    return list(rows.values())


def _load(
    peer: Peer, checkpoint: Path, loads: Sequence[Load], scratch: Path, stack: ExitStack
) -> tuple[Worker, float]:
    """The worker that stays, and the memory of one before it that ran alone, in MiB: workers that
    share a library or a file count a part of it each."""
    if not all(map(importlib.util.find_spec, peer.packages)):
        raise WorkerFailed(NOT_INSTALLED)
    log, folder = scratch / f"{peer.name}.log", checkpoint
    if peer.exporter:
        folder = scratch / f"{checkpoint.name}-{'-'.join(peer.exporter)}"
        if not folder.exists():
            _export(peer.exporter, checkpoint, folder, log)

    def start() -> Worker:
        worker = Worker(peer.engine, checkpoint, folder, THREADS, log)
        stack.enter_context(closing(worker))
        for load in loads:
            worker.run(*load)
        return worker

    alone = start()
    memory = pss_mib(alone.pid)
    alone.close()
    return start(), memory


def _export(exporter: Sequence[str], checkpoint: Path, folder: Path, log: Path) -> None:
    """Exports in a process of its own, whose memory is not the worker's."""
    # The demo's own exporter also takes the checkpoint's name.
    command = [sys.executable, "-m", *exporter, str(checkpoint), str(folder), checkpoint.name]
    with log.open("ab") as output:
        done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, check=False)
    if done.returncode:
        raise WorkerFailed(f"It could not be exported: {last_line(log)}")


def compare_logits(workers: dict[Peer, Worker], rows: Mapping[Peer, Row]) -> None:
    """Fills in the correlations, and drops engines that do not compute what transformers does."""
    baseline = PEERS[-1]
    reference = workers[baseline].logits if baseline in workers else None
    for peer, worker in list(workers.items()):
        if worker.logits is None or reference is None:
            continue
        correlation = float(np.corrcoef(worker.logits[0], reference[0])[0, 1])
        rows[peer].correlation = correlation
        if not correlation >= LEAST_CORRELATION:
            found = f"their correlation with transformers' is {correlation:.3f}"
            rows[peer].note = f"Wrong logits: {found}."
            del workers[peer]


def _decode_in_turn(
    workers: Mapping[Peer, Worker],
    rows: Mapping[Peer, Row],
    repeats: int,
    loads: Sequence[Load],
) -> None:
    """Every engine in every repeat, each time another one first; fills in the speeds."""
    for peer in workers:
        rows[peer].speeds = [Speeds(load) for load in loads]
    order = list(workers)
    for repeat in range(repeats):
        _say(f"Repeat {repeat + 1} of {repeats} …")
        for number, load in enumerate(loads):
            for peer in order:
                outside = OutsideLoad()
                seconds = workers[peer].run(*load)
                found = rows[peer].speeds[number]
                found.tokens_per_second.append(load.batch * load.new_tokens / seconds)
                found.outside_cores.append(outside.cores())
                _say(
                    f"  batch of {load.batch}, top-p {load.top_p}: "
                    f"{found.tokens_per_second[-1]:.1f} tokens/s by {peer.name}, "
                    f"others on {found.outside_cores[-1]:.2f} cores"
                )
        order = order[1:] + order[:1]


def _measure_quality(
    workers: Mapping[Peer, Worker], rows: Mapping[Peer, Row], checkpoint: Path, data: Path
) -> None:
    """Fills in the bits per byte, on the same held-out tweets for every engine."""
    # In a process of its own, as torch is: what this one shares with an engine is not counted.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        documents, size = pool.submit(read_documents, checkpoint, data).result()
    for peer, worker in workers.items():
        _say(f"{peer.name} reads {len(documents)} tweets …")
        rows[peer].bits_per_byte = worker.nats(documents) / math.log(2) / size


def _versions() -> str:
    found = []
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return f"{', '.join(found)}."


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def render(rows: Sequence[Row], bandwidth: tuple[float, float]) -> list[str]:
    """The paragraphs of `raw.md`; `bandwidth` is what `measure_bandwidth` gave."""
    one, every = (f"{speed / 1e9:.1f} GB/s" for speed in bandwidth)
    parts = [
        "# Raw engines, side by side",
        f"{describe_run('raw')} {_versions()}",
        f"Memory is read at {one} by one thread and at {every} by one for each core (numpy's sum "
        "of 2 GiB of int64, best of 7). The limit of a batch of one is the larger by the bytes of "
        "weights that a token needs; weights that fit a cache can pass it.",
        f"One process for each engine with {THREADS} threads, all loaded at once; they "
        f"decode by turns within each repeat. Prompts of {PROMPT_TOKENS} tokens, the same for all; "
        "every sequence gets exactly as many new tokens as stand in the table, drawn with "
        f"temperature {TEMPERATURE}, repetition penalty {REPETITION_PENALTY} and the table's "
        "top-p; prompts count in the time. Speeds: the median over repeats (lowest to highest). "
        "Memory: PSS of the process when it ran alone. Outside load: how many cores everybody "
        "else kept busy, the median over the runs (highest). Logits: their correlation with "
        "transformers' after one prompt; OpenVINO GenAI gives none.",
        "Bits per byte: on the tweets of test, and how much more than transformers'. A peer that "
        f"costs more than {EQUAL_QUALITY_PERCENT} % is shown, and not "
        "held against the others: × is by the fastest peer that does not. Random weights have no "
        "such figure; there an engine costs what it costs the trained checkpoint.",
    ]
    equal = {peer.name for peer in PEERS} - _costly(rows)
    for checkpoint in dict.fromkeys(row.checkpoint for row in rows):
        its_rows = [row for row in rows if row.checkpoint == checkpoint]
        parts += [f"## {checkpoint}", _table(its_rows, max(bandwidth), equal)]
    return parts


def _costly(rows: Sequence[Row]) -> set[str]:
    """The engines that cost more bits per byte than counts as equal."""
    return {row.engine for row in rows if (_cost(row, rows) or 0) > EQUAL_QUALITY_PERCENT}


def _cost(row: Row, rows: Sequence[Row]) -> float | None:
    """By how many per cent its bits per byte are more than the baseline's; None if not measured."""
    baseline = {one.checkpoint: one for one in rows if one.engine == PEERS[-1].name}
    reference = baseline[row.checkpoint].bits_per_byte if row.checkpoint in baseline else None
    if row.bits_per_byte is None or reference is None:
        return None
    return 100 * (row.bits_per_byte / reference - 1)


def _table(rows: Sequence[Row], bandwidth: float, equal: Collection[str]) -> str:
    """`equal` are the engines of equal quality."""
    loads = list(dict.fromkeys(one.load for row in rows for one in row.speeds))
    medians: dict[Load, list[float]] = {load: [] for load in loads}
    for row in rows:
        if row.is_peer and row.engine in equal:
            for one in row.speeds:
                medians[one.load].append(one.median)
    header = ["engine", "weights, MB", "memory, MiB", "logits", "bits per byte",
              "outside load, cores"]  # fmt: skip
    for load in loads:
        header += [
            f"batch of {load.batch}, {load.new_tokens} tokens, top-p {load.top_p:g}: tokens/s", "×"
        ]  # fmt: skip
    header.append("share of the limit")
    shown = []
    for row in rows:
        cells = [row.engine, f"{row.weight_bytes / 1e6:,.1f}"]
        if row.note:
            shown.append([*cells, row.note])
            continue
        outside = [cores for one in row.speeds for cores in one.outside_cores]
        cells.append(f"{row.memory_mib:.0f}")
        cells.append(NOTHING if row.correlation is None else f"{row.correlation:.3f}")
        cost = _cost(row, rows)
        cells.append(NOTHING if cost is None else f"{row.bits_per_byte:.4f} ({cost:+.2f} %)")
        cells.append(f"{statistics.median(outside):.2f} ({max(outside):.2f})")
        for one in row.speeds:
            peers = medians[one.load]
            cells.append(spread(one.tokens_per_second))
            cells.append(f"{one.median / max(peers):.2f}" if peers else NOTHING)
        alone = max(one.median for one in row.speeds if one.load.batch == 1)
        cells.append(f"{alone * row.weight_bytes / bandwidth:.0%}")
        shown.append(cells)
    return table(header, shown)
