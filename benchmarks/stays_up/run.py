"""The verb: every trial in its order, and the table that comes of them."""

import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import Annotated

import typer

from benchmarks import BenchmarkError
from benchmarks.checkpoints import OptionalResults
from benchmarks.measuring import RESULTS, OutsideLoad, describe_run, table, write_page
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


def stays_up(
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"run this trial alone; may be given again: {', '.join(TRIALS)}"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="each trial as small as it goes")] = False,
    soak_minutes: Annotated[float, typer.Option(help="of the soak; with --quick one")] = 30.0,
    results: OptionalResults = None,
) -> int:
    """Runs the trials, prints and writes; 1 if one misses its bar."""
    if unknown := set(only or ()) - set(TRIALS):
        raise BenchmarkError(f"There is no trial {', '.join(unknown)}: {', '.join(TRIALS)}.")
    load, rows = OutsideLoad(), []
    with ExitStack() as stack:
        app = App(quick, 1.0 if quick else soak_minutes, stack)
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
