"""`serve`: the app over HTTP, beside the original's code path behind the same page.

Our app and the original run in turn, never at once, and each process begins with a cold start:
whatever the machine does meanwhile, two neighbours in time share it.
"""

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import BenchmarkError, raw, report
from benchmarks.checkpoints import (
    CheckpointName,
    CheckpointOption,
    OptionalResults,
    QuickOption,
    Target,
    chosen_names,
    make_target,
)
from benchmarks.measuring import RESULTS, OutsideLoad, describe_machine, today
from benchmarks.report import App, Life, Observations, Wave
from benchmarks.servers import FirstVisitor, Server, free_address, running, visit

COMMANDS: Mapping[App, tuple[str, ...]] = {
    "ours": ("app.py",),
    "original": ("-m", "benchmarks.original_app"),
}
# How long one text may take, for both apps and for whoever waits for it: the original's
# sixteenth visitor waits for fifteen others.
PATIENCE_SECONDS = 900
# Every visitor of the largest wave finds room.
LARGEST_WAVE = 64
VARIABLES = {"QUEUE_SIZE": str(LARGEST_WAVE), "DEADLINE_SECONDS": str(PATIENCE_SECONDS)}
FIRST_TOKENS = 32
# Memory is read after the waves of that many visitors.
MEMORY_AFTER = (1, 16)

CONDITIONS = (
    "Ours is `app.py`; the original is `benchmarks/original_app.py`, what the blog's app did "
    "behind the same page. They never run at once.",
    "A visitor speaks as the page in a browser does. All of a wave send at the same moment, each "
    "on a connection of its own, and one process on the same cores plays them all.",
    "First character: from sending to the first event with a generated character. Tokens/s a "
    "visitor: the tokens of a text by the seconds from sending to its last event, the median "
    "over texts. In all: the tokens of a wave by its seconds.",
    "Start to first character: from the start of the process, seen by a visitor who is already "
    "there; files are in the page cache, and merging and exporting were done before.",
    "Memory: PSS of all processes of the app, read when the visitors are served.",
    "Outside load: how many cores everybody else kept busy, on average over the app's life.",
    "Each figure: the median over repeats (lowest to highest). A ratio is taken within a repeat.",
    "Texts that failed are counted; they add no tokens and no latencies, and their time counts.",
)


@dataclass(frozen=True)
class Cell:
    """That many visitors at once, texts of that many tokens, that many times in one process."""

    visitors: int
    tokens: int
    waves: int


@dataclass(frozen=True)
class Plan:
    """What one run does: `repeats` processes of each app with these cells, in order of visitors,
    and more that only start, up to `cold_starts`. A rehearsal fills caches first."""

    repeats: int
    cold_starts: int
    rehearse: bool
    cells: Mapping[App, tuple[Cell, ...]]


# The original's visitors wait for each other: 16 of them with 128 tokens each would take longer
# than all the rest of a repeat.
FULL = Plan(
    repeats=3,
    cold_starts=5,
    rehearse=True,
    cells={
        "ours": (
            *(Cell(1, 32, waves=8), Cell(1, 128, waves=4)),
            *(Cell(4, 32, waves=4), Cell(4, 128, waves=2)),
            *(Cell(16, 32, waves=3), Cell(16, 128, waves=1)),
            *(Cell(64, 32, waves=1), Cell(64, 128, waves=1)),
        ),
        "original": (
            *(Cell(1, 32, waves=3), Cell(1, 128, waves=2)),
            *(Cell(4, 32, waves=1), Cell(16, 32, waves=1)),
        ),
    },
)
_QUICK_CELLS = (Cell(1, 8, waves=2), Cell(16, 8, waves=1))
QUICK = Plan(1, 1, rehearse=False, cells={"ours": _QUICK_CELLS, "original": _QUICK_CELLS})


def serve(
    quick: QuickOption = False,
    checkpoint: CheckpointOption = None,
    repeats: Annotated[int, typer.Option(help="processes of each app")] = FULL.repeats,
    results: OptionalResults = None,
    with_raw: Annotated[
        bool, typer.Option("--raw", help="afterwards run the verb raw as well")
    ] = False,
) -> int:
    """Measures, prints, writes; the exit code is 1 if any text failed."""
    # Told to end, it first ends what it started, as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = QUICK if quick else replace(FULL, repeats=repeats)
    seen = _observe(plan, chosen_names(checkpoint, quick))
    report.write(seen, results or (None if quick else RESULTS))
    failed = bool(report.failures(seen.lives))
    if with_raw:
        failed |= bool(raw.raw(quick=quick, checkpoint=checkpoint, results=results))
    return int(failed)


def _observe(plan: Plan, names: Sequence[CheckpointName]) -> Observations:
    date = today()
    with tempfile.TemporaryDirectory() as scratch:
        targets = (make_target(name, Path(scratch)) for name in names)
        lives = tuple(life for target in targets for life in _lives(plan, target))
    return Observations(date, describe_machine(), (*_conditions(plan), *CONDITIONS), lives)


def _conditions(plan: Plan) -> Iterator[str]:
    variables = ", ".join(f"`{name}={value}`" for name, value in VARIABLES.items())
    yield f"{plan.repeats} repeats, and {plan.cold_starts} cold starts, of each app in turn."
    yield f"Settings of both apps besides their checkpoint: {variables}."
    if not plan.rehearse:
        yield "Without a rehearsal: the first start also merges and exports. Figures mean nothing."


def _lives(plan: Plan, target: Target) -> Iterator[Life]:
    """Ours, the original's, ours, the original's …"""
    if plan.rehearse:
        for app in COMMANDS:
            _live(app, target, 0, ())
    for repeat in range(1, max(plan.repeats, plan.cold_starts) + 1):
        for app in COMMANDS:
            cells = plan.cells[app] if repeat <= plan.repeats else ()
            yield _live(app, target, repeat, cells)


def _live(app: App, target: Target, repeat: int, cells: tuple[Cell, ...]) -> Life:
    """One process: a start that a visitor waits for, the cells, an end."""
    print(f"{target.name}, {app}, repeat {repeat} …", file=sys.stderr, flush=True)
    url, outside = free_address(), OutsideLoad()
    # The original has no checkpoint of its own: it is always told the folder.
    own = target.variables if app == "ours" else {"CHECKPOINT": str(target.folder)}
    with (
        closing(FirstVisitor(url, FIRST_TOKENS, PATIENCE_SECONDS)) as visitor,
        running(COMMANDS[app], url, {**VARIABLES, **own}) as server,
    ):
        first = visitor.wave(server)
        waves, memory = _visited(server, cells)
    [seen] = first.visits
    if seen.first_seconds is None:
        raise BenchmarkError(f"The first visitor got no text: {seen.failure}.")
    return Life(
        app=app,
        checkpoint=target.name,
        engine=first.engine,
        repeat=repeat,
        cold_seconds=seen.first_seconds,
        seconds=outside.seconds(),
        outside_cores=outside.cores(),
        waves=waves,
        memory_mib=memory,
    )


def _visited(
    server: Server, cells: tuple[Cell, ...]
) -> tuple[tuple[Wave, ...], Mapping[str, float]]:
    """The waves of all cells, in their order, and the memory after some of them."""
    waves: list[Wave] = []
    memory: dict[str, float] = {}
    for cell in cells:
        waves += visit(server, cell.visitors, cell.tokens, cell.waves, PATIENCE_SECONDS)
        if cell.visitors in MEMORY_AFTER:
            memory[str(cell.visitors)] = server.memory_mib()
    return tuple(waves), memory
