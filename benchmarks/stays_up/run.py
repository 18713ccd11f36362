"""The verb: every trial in its order, and the table that comes of them."""

import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from benchmarks import BenchmarkError
from benchmarks.checkpoints import OptionalResults
from benchmarks.measuring import (
    RESULTS,
    OutsideLoad,
    describe_machine,
    describe_run,
    table,
    today,
    write_page,
)
from benchmarks.stays_up import crowds, ends, fuzz, leaving, scarcity, slow, soak
from benchmarks.stays_up.app import App, NotHere, Row
from benchmarks.stays_up.claims import claims

Trial = Callable[[App], Iterable[Row]]
TRIALS: Mapping[str, Trial] = {
    "crowd": crowds.crowd,
    "abandoned": leaving.abandoned,
    "greedy": crowds.greedy,
    "slow_senders": slow.senders,
    "slow_readers": slow.readers,
    "idle": slow.idle,
    "fuzz": fuzz.fuzz,
    "soak": soak.soak,
    "engine_killed": ends.killed,
    "engine_stopped": ends.stopped,
    "network": claims("tests/browser/test_network.py"),
    "hub": claims("tests/hub/test_hub.py"),
    "disk": scarcity.disk,
    "home": scarcity.home,
    "clock": scarcity.clock,
    "one_cpu": scarcity.one_cpu,
    "memory": scarcity.memory,
    "stop": ends.stop,
}
# A trial that takes longer has missed its bar, besides what it is asked to take.
LIMIT_SECONDS = 1_500
HELD = {True: "yes", False: "**no**", None: "not judged"}
HEADER = ("trial", "what", "measured", "bar", "held", "date")
# Cells of the table, as they stand in the page.
Line = Sequence[str]


def stays_up(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"run this trial alone, and keep the others' rows; may be given again: "
            f"{', '.join(TRIALS)}"
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="each trial as small as it goes")] = False,
    soak_minutes: Annotated[float, typer.Option(help="of the soak; with --quick one")] = 30.0,
    results: OptionalResults = None,
) -> int:
    """Runs the trials, prints and writes; 1 if one misses its bar."""
    if unknown := set(only or ()) - set(TRIALS):
        raise BenchmarkError(f"There is no trial {', '.join(unknown)}: {', '.join(TRIALS)}.")
    folder = results or (None if quick else RESULTS)
    written = folder and folder / "stays_up.md"
    lines = kept_lines(written) if written else {}
    if only and written and written.exists() and not lines:
        raise BenchmarkError(
            f"The rows of {written} are from another machine: run all trials, or name another "
            "folder with --results."
        )
    load, has_missed = OutsideLoad(), False
    with ExitStack() as stack:
        app = App(quick, 1.0 if quick else soak_minutes, stack)
        try:
            for name in only or TRIALS:
                begun, rows = time.monotonic(), []
                for row in tried(TRIALS[name], app):
                    rows.append(_line(name, row))
                    has_missed = has_missed or row.held is False
                    print(f"{name}: {HELD[row.held]}: {row.what}: {row.measured}", flush=True)
                lines[name] = rows
                print(f"{name} took {time.monotonic() - begun:.0f} s", flush=True)
        finally:
            # Also what was measured until Ctrl-C.
            write_page(written, render(lines, describe_run("stays_up", load.cores())))
    return int(has_missed)


def kept_lines(path: Path) -> dict[str, list[Line]]:
    """The rows of an earlier run on this machine, by trial."""
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    lines: dict[str, list[Line]] = {}
    for line in page.splitlines() if describe_machine() in page else ():
        cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
        if cells[0] in TRIALS:
            lines.setdefault(cells[0], []).append(cells)
    return lines


def tried(trial: Trial, app: App) -> Iterable[Row]:
    """Its rows; one more if it fails, takes too long or cannot be done here."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("it took too long")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_SECONDS + int(60 * app.soak_minutes))
    try:
        yield from trial(app)
    except NotHere as reason:
        yield Row("cannot be tried on this machine", str(reason), "", None)
    except Exception as error:
        # One that breaks must not hide what the others find.
        said = f"{type(error).__name__}: {str(error)[-400:]}"
        yield Row("the trial itself", said, "comes to its end", False)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def render(lines: Mapping[str, Sequence[Line]], about: str) -> list[str]:
    """The paragraphs of `stays_up.md`."""
    rows = [line for name in TRIALS for line in lines.get(name, ())]
    held = [row[HEADER.index("held")] for row in rows]
    yes, no, unknown = (held.count(HELD[one]) for one in (True, False, None))
    return [
        "# Stays up",
        f"{about} A row has the date of its own run; how busy others were is told of the last.",
        f"{yes} bars held, {no} missed, {unknown} not judged. "
        "The embedded checkpoint with default settings and a guessing game, behind one proxy, "
        "unless a row says otherwise. All visitors share the machine's cores with the app.",
        table(HEADER, rows),
    ]


def _line(name: str, row: Row) -> Line:
    return (name, *map(_cell, (row.what, row.measured, row.bar)), HELD[row.held], today())


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
