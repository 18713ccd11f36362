"""The verb: every trial in its order, and the table that comes of them."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Annotated

import typer

from benchmarks.checkpoints import OptionalResults
from benchmarks.measuring import RESULTS, OutsideLoad, describe_run, write_page
from benchmarks.stays_up import crowds, ends, fuzz, leaving, scarcity, slow, soak
from benchmarks.stays_up.app import App
from benchmarks.stays_up.pytest_trials import run_tests
from benchmarks.trials import ONLY, Row, Trials

TRIALS: Mapping[str, Callable[[App], Iterable[Row]]] = {
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
    "network": run_tests("tests/browser/test_network.py", spread_out=True),
    "hub": run_tests("tests/hub/test_hub.py"),
    "disk": scarcity.disk,
    "home": scarcity.home,
    "clock": scarcity.clock,
    "one_cpu": scarcity.one_cpu,
    "memory": scarcity.memory,
    "stop": ends.stop,
}
# For each, besides what it is asked to take.
LIMIT_SECONDS = 1_500


def stays_up(
    only: Annotated[list[str] | None, typer.Option(help=f"{ONLY}: {', '.join(TRIALS)}")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="each trial as small as it goes")] = False,
    soak_minutes: Annotated[float, typer.Option(help="of the soak; with --quick one")] = 30.0,
    results: OptionalResults = None,
) -> int:
    """Runs the trials, prints and writes; 1 if one misses its bar."""
    folder = results or (None if quick else RESULTS)
    written = folder and folder / "stays_up.md"
    load = OutsideLoad()
    with ExitStack() as stack:
        app = App(quick, 1.0 if quick else soak_minutes, stack)
        bound = {name: partial(trial, app) for name, trial in TRIALS.items()}
        trials = Trials(bound, only, written, LIMIT_SECONDS + 60 * app.soak_minutes)
        try:
            return int(not trials.run())
        finally:
            counts, rows = trials.render()
            about = describe_run("stays_up", load.cores())
            write_page(
                written,
                [
                    "# Stays up",
                    f"{about} A row has the date and the machine of its own run; how busy others "
                    "were is told of the last.",
                    f"{counts} The embedded checkpoint with default settings and a guessing game, "
                    "behind one proxy, unless a row says otherwise. All visitors share the "
                    "machine's cores with the app.",
                    rows,
                ],
            )
