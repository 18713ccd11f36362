"""`serve`: the app over HTTP, beside the original's code path behind the same page, and with
`--raw` its engine beside its peers.

Knows what is run, how often and in which order; must not know how a browser talks nor how
figures are taken. Our app and the original live in turn, never at once, and each life begins
with a cold start: whatever the machine does meanwhile, the two neighbours in time share it.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import raw, report
from benchmarks.errors import BenchmarkError
from benchmarks.machine import OutsideLoad, describe_machine
from benchmarks.observations import App, Life, Observations, Wave
from benchmarks.servers import Newcomer, Server, free_address, running, visit
from benchmarks.targets import TARGETS, Target, add_measuring_arguments

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
# Memory is read after the waves of so many visitors.
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
    """So many visitors at once, texts of so many tokens, so many times in one life."""

    visitors: int
    tokens: int
    waves: int


@dataclass(frozen=True)
class Plan:
    """What one run does: `repeats` lives of each app with these cells, in order of visitors,
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    add_measuring_arguments(parser, FULL.repeats, "lives of each app")
    parser.add_argument("--raw", action="store_true", help="afterwards run the verb raw as well")


def run(arguments: argparse.Namespace) -> int:
    """Measures, prints, writes; the exit code is 1 if any text failed."""
    # Told to end, it first ends what it started, as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = QUICK if arguments.quick else replace(FULL, repeats=arguments.repeats)
    names = arguments.checkpoint or (["tiny"] if arguments.quick else ["gpt2-medium", "embedded"])
    folder = arguments.results or (None if arguments.quick else report.RESULTS)
    seen = _observe(plan, names)
    print(report.render(seen))
    if folder:
        report.write(seen, folder)
    failed = bool(report.failures(seen.lives))
    if arguments.raw:
        vars(arguments).update(repeats=raw.FULL.repeats)
        failed |= bool(raw.run(arguments))
    return int(failed)


def _observe(plan: Plan, names: Sequence[str]) -> Observations:
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    with tempfile.TemporaryDirectory() as scratch:
        targets = (TARGETS[name](Path(scratch)) for name in names)
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
    """One life: a start under a visitor's eyes, the cells, an end."""
    print(f"{target.name}, {app}, repeat {repeat} …", file=sys.stderr, flush=True)
    url, outside = free_address(), OutsideLoad()
    variables = {**VARIABLES, **target.variables[app]}
    with (
        closing(Newcomer(url, FIRST_TOKENS, PATIENCE_SECONDS)) as newcomer,
        running(COMMANDS[app], url, variables) as server,
    ):
        first = newcomer.wave(server)
        waves, memory = _visited(server, cells)
    return Life(
        app=app,
        checkpoint=target.name,
        engine=first.engine,
        repeat=repeat,
        cold_seconds=_cold_seconds(first),
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


def _cold_seconds(first: Wave) -> float:
    [visit] = first.visits
    if visit.first_seconds is None:
        raise BenchmarkError(f"The first visitor got no text: {visit.failure}.")
    return visit.first_seconds
