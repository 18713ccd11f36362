"""What `raw` saw, as plain records and as tables in Markdown.

Knows what the figures are; must not know how they were measured. A speed is the median over the
repeats with the lowest and the highest; a ratio is one of medians.
"""

import dataclasses
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import BANDWIDTH_METHOD, Bandwidth

NOTHING = "–"


@dataclass(frozen=True)
class Speeds:
    """Tokens a second of all sequences of a batch in each repeat, prompts included, and how
    many cores everybody else kept busy meanwhile."""

    batch: int
    new_tokens: int
    tokens_per_second: tuple[float, ...]
    outside_cores: tuple[float, ...]

    @property
    def median(self) -> float:
        """The speed that is compared."""
        return statistics.median(self.tokens_per_second)


@dataclass(frozen=True)
class Row:
    """One engine on one checkpoint. `weight_bytes` are read for every step of a batch;
    `memory_mib` is the PSS of its process alone, after a batch of each size.

    `note` says why there are no figures, and is empty where there are.
    """

    checkpoint: str
    engine: str
    is_peer: bool
    weight_bytes: float
    memory_mib: float = 0.0
    speeds: tuple[Speeds, ...] = ()
    note: str = ""

    def at(self, batch: int) -> Speeds | None:
        """The speeds of a batch of this size."""
        return next((one for one in self.speeds if one.batch == batch), None)


@dataclass(frozen=True)
class Results:
    """One run of `raw`: when, on what, with which versions, and every engine's row."""

    date: str
    machine: str
    versions: str
    bandwidth: Bandwidth
    threads: int
    rows: tuple[Row, ...]


def write(results: Results, folder: Path) -> None:
    """`raw.json`, with every repeat, and `raw.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    record = json.dumps(dataclasses.asdict(results), indent=1)
    (folder / "raw.json").write_text(f"{record}\n", encoding="utf-8")
    (folder / "raw.md").write_text(markdown(results), encoding="utf-8")


def markdown(results: Results) -> str:
    """All of it."""
    one, every = (
        f"{speed / 1e9:.1f} GB/s"
        for speed in (results.bandwidth.one_thread, results.bandwidth.every_core)
    )
    parts = [
        "# Raw engines, side by side",
        f"Measured {results.date} by `python -m benchmarks raw`. {results.machine} "
        f"{results.versions}",
        f"Memory is read at {one} by one thread and at {every} by one for each core "
        f"({BANDWIDTH_METHOD}). The limit of a batch of one is the larger by the bytes of weights "
        "that a token needs; weights that fit a cache can pass it.",
        f"One process for each engine with {results.threads} threads, all loaded at once; they "
        "decode by turns within each repeat. Prompts of 8 tokens, the same for all; every "
        "sequence gets exactly as many new tokens as stand in the table, drawn with temperature "
        "0.9 and top-p 0.95; prompts count in the time. Speeds: the median over repeats (lowest "
        "to highest). Memory: PSS of the process when it ran alone. Outside load: how many "
        "cores everybody else kept busy, the median over the runs (highest).",
    ]
    for checkpoint in dict.fromkeys(row.checkpoint for row in results.rows):
        rows = [row for row in results.rows if row.checkpoint == checkpoint]
        parts += [f"## {checkpoint}", _table(rows, results.bandwidth)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], bandwidth: Bandwidth) -> str:
    sizes = dict.fromkeys((one.batch, one.new_tokens) for row in rows for one in row.speeds)
    header = ["engine", "weights, MB", "memory, MiB", "outside load, cores"]
    for batch, new_tokens in sizes:
        header += [f"batch of {batch}, {new_tokens} tokens: tokens/s", "× the best peer"]
    header += ["share of the limit"]
    lines = [_line(header), "|---" * len(header) + "|"]
    for row in rows:
        cells = list(_cells(row, rows, bandwidth, [batch for batch, _ in sizes]))
        lines.append(_line(cells + [""] * (len(header) - len(cells))))
    return "\n".join(lines)


def _cells(
    row: Row, rows: Sequence[Row], bandwidth: Bandwidth, batches: Sequence[int]
) -> Iterator[str]:
    yield row.engine
    yield f"{row.weight_bytes / 1e6:,.1f}"
    if row.note:
        yield row.note
        return
    yield f"{row.memory_mib:.0f}"
    outside = [cores for one in row.speeds for cores in one.outside_cores]
    yield f"{statistics.median(outside):.2f} ({max(outside):.2f})"
    for batch in batches:
        speeds, best = row.at(batch), _best_peer(rows, batch)
        yield _spread(speeds.tokens_per_second) if speeds else NOTHING
        yield f"{speeds.median / best:.2f}" if speeds and best else NOTHING
    alone = row.at(1)
    yield f"{alone.median * row.weight_bytes / bandwidth.best:.0%}" if alone else NOTHING


def _best_peer(rows: Sequence[Row], batch: int) -> float | None:
    medians = (one.median for row in rows if row.is_peer and (one := row.at(batch)))
    return max(medians, default=None)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
