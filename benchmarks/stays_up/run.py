"""The verb: every trial in its order, and the table that comes of them."""

import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import Annotated

import typer

from benchmarks import BenchmarkError
from benchmarks.checkpoints import OptionalResults
from benchmarks.measuring import RESULTS, OutsideLoad, describe_run, table, write_page
from benchmarks.stays_up import (
    crowds,
    engine,
    fuzz,
    hub,
    leaving,
    network,
    scarcity,
    slow,
    soak,
    stop,
)
from benchmarks.stays_up.app import App, NotHere, Row

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
    "engine_killed": engine.killed,
    "engine_stopped": engine.stopped,
    "network": network.network,
    "hub": hub.hub,
    "disk": scarcity.disk,
    "home": scarcity.home,
    "clock": scarcity.clock,
    "one_cpu": scarcity.one_cpu,
    "memory": scarcity.memory,
    "stop": stop.stop,
}
# A trial that takes longer has missed its bar, besides what it is asked to take.
LIMIT_SECONDS = 1_500
HELD = {True: "yes", False: "**no**", None: "not judged"}


def stays_up(
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"run this trial alone; may be given again: {', '.join(TRIALS)}"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="each trial as small as it goes")] = False,
    fuzzed: Annotated[
        int | None, typer.Option(help="requests to fuzz (default: 100,000; with --quick 2,000)")
    ] = None,
    soak_minutes: Annotated[
        float | None, typer.Option(help="of the soak (default: 30; with --quick 1)")
    ] = None,
    results: OptionalResults = None,
) -> int:
    """Runs the trials, prints and writes; 1 if one misses its bar."""
    unknown = set(only or ()) - set(TRIALS)
    if unknown:
        raise BenchmarkError(f"There is no trial {', '.join(unknown)}: {', '.join(TRIALS)}.")
    load, rows = OutsideLoad(), []
    with App(
        quick,
        fuzzed or (2_000 if quick else 100_000),
        soak_minutes or (1.0 if quick else 30.0),
    ) as app:
        for name in only or TRIALS:
            for row in tried(TRIALS[name], app):
                rows.append((name, row))
                print(f"{name}: {HELD[row.held]}: {row.what}: {row.measured}", flush=True)
    written = results or (None if quick or only else RESULTS)
    page = render(rows, describe_run("stays_up", load.cores()))
    write_page(written and written / "stays_up.md", page)
    return int(any(row.held is False for _, row in rows))


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


def render(rows: Sequence[tuple[str, Row]], about: str) -> list[str]:
    """The paragraphs of `stays_up.md`."""
    held = [row.held for _, row in rows]
    return [
        "# Stays up",
        about,
        f"{held.count(True)} bars held, {held.count(False)} missed, {held.count(None)} not judged. "
        "The embedded checkpoint with default settings, behind one proxy, unless a row says "
        "otherwise. All visitors share the machine's cores with the app.",
        table(
            ("trial", "what", "measured", "bar", "held"),
            [(n, *map(_cell, (r.what, r.measured, r.bar)), HELD[r.held]) for n, r in rows],
        ),
    ]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
