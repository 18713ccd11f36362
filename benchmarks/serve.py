"""`serve`: the app over HTTP, beside the original's code path behind the same page.

Our app and the original run in turn, never at once, and each process begins with a cold start:
whatever the machine does meanwhile, two neighbours in time share it.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from benchmarks import BenchmarkError, report, visitors
from benchmarks.checkpoints import (
    CheckpointOption,
    OptionalResults,
    QuickOption,
    Target,
    chosen_names,
    make_target,
)
from benchmarks.measuring import RESULTS, OutsideLoad, describe_machine, today
from benchmarks.report import App, Life, Observations, Wave
from benchmarks.servers import free_address, running, visitors_process

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


class Cell(NamedTuple):
    """That many visitors at once, texts of that many tokens, that many times in one process."""

    visitors: int
    tokens: int
    waves: int


Cells = Mapping[App, tuple[Cell, ...]]
REPEATS = 3
# The original's visitors wait for each other: 16 of them with 128 tokens each would take longer
# than all the rest of a repeat.
CELLS: Cells = {
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
}
QUICK_CELLS: Cells = dict.fromkeys(CELLS, (Cell(1, 8, waves=2), Cell(16, 8, waves=1)))


def serve(
    quick: QuickOption = False,
    checkpoint: CheckpointOption = None,
    repeats: Annotated[int, typer.Option(help="processes of each app")] = REPEATS,
    results: OptionalResults = None,
) -> int:
    """Measures, prints, writes; the exit code is 1 if any text failed."""
    date = today()
    with tempfile.TemporaryDirectory() as scratch:
        targets = (make_target(name, Path(scratch)) for name in chosen_names(checkpoint, quick))
        lives = tuple(life for one in targets for life in _lives(one, quick, repeats))
    variables = ", ".join(f"`{name}={value}`" for name, value in VARIABLES.items())
    conditions = (
        "Without a rehearsal: the first start also merges and exports. Figures mean nothing."
        if quick
        else f"{repeats} repeats of each app in turn.",
        f"Settings of both apps besides their checkpoint: {variables}.",
        *CONDITIONS,
    )
    seen = Observations(date, describe_machine(), conditions, lives)
    report.write(seen, results or (None if quick else RESULTS))
    return int(bool(report.failures(lives)))


def _lives(target: Target, quick: bool, repeats: int) -> Iterator[Life]:
    """Ours, the original's, ours, the original's …; a rehearsal fills caches first."""
    if quick:
        yield from (_live(app, target, 1, QUICK_CELLS[app]) for app in COMMANDS)
        return
    for app in COMMANDS:
        _live(app, target, 0, ())
    for repeat in range(1, repeats + 1):
        yield from (_live(app, target, repeat, CELLS[app]) for app in COMMANDS)


def _live(app: App, target: Target, repeat: int, cells: tuple[Cell, ...]) -> Life:
    print(f"{target.name}, {app}, repeat {repeat} …", file=sys.stderr, flush=True)
    url, outside = free_address(), OutsideLoad()
    # The original has no checkpoint of its own: it is always told the folder.
    own = target.variables if app == "ours" else {"CHECKPOINT": str(target.folder)}
    waves: list[Wave] = []
    memory: dict[str, float] = {}
    with visitors_process() as pool:
        # A visitor who already tries to reach the app when it is started.
        first_wave = pool.apply_async(
            visitors.send_first_visitor, (url, FIRST_TOKENS, PATIENCE_SECONDS)
        )
        with running(COMMANDS[app], url, {**VARIABLES, **own}) as server:
            first = server.wait_for(first_wave)
            for cell in cells:
                some = pool.apply_async(visitors.send_waves, (url, *cell, PATIENCE_SECONDS))
                seen = server.wait_for(some)
                waves += seen
                if cell.visitors in MEMORY_AFTER:
                    memory[str(cell.visitors)] = server.memory_mib()
    [visit] = first.visits
    if visit.first_seconds is None:
        raise BenchmarkError(f"The first visitor got no text: {visit.failure}.")
    return Life(
        app=app,
        checkpoint=target.name,
        engine=first.engine,
        repeat=repeat,
        cold_seconds=visit.first_seconds,
        seconds=outside.seconds(),
        outside_cores=outside.cores(),
        waves=tuple(waves),
        memory_mib=memory,
    )
