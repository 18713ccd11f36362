"""The verb: every trial in its order, and the table that comes of them."""

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.checkpoints import CheckpointName, OptionalResults, QuickOption, make_target
from benchmarks.cluster import growth, losses
from benchmarks.cluster.inside import require_means, run_inside, scratch, short_folder
from benchmarks.cluster.losses import MEASURED, Stage
from benchmarks.measuring import RESULTS, OutsideLoad, describe_run, write_page
from benchmarks.scale import SLOTS, TOKENS
from benchmarks.servers import inherited_environment
from benchmarks.trials import ONLY, Row, Trials
from demo.checkpoints.resolve import Checkpoint, resolve_checkpoint
from demo.generation.openvino.exported import exported_folder
from demo.settings import Settings, read_settings

TRIALS: Mapping[str, Callable[[Stage], Iterable[Row]]] = {
    "nothing": losses.nothing,
    "replica_killed": losses.replica_killed,
    "raylet_killed": losses.raylet_killed,
    "node_killed": losses.node_killed,
    "node_frozen": losses.node_frozen,
    "node_cut_off": losses.node_cut_off,
    "burst": losses.burst,
    "growth": growth.growth,
    "autoscaling": growth.autoscaling,
}
# A trial and the start before it.
LIMIT_SECONDS = 1_500.0
PACKAGES = ("ray", "openvino-genai")
SIMULATION = (
    "`growth`: the simulation is that of [scale](scale.md), fed with what one engine on this "
    "cluster wrote of 1, 4 and 16 texts at once. It gives the second engine as much of a machine "
    "as the first; here both engines, Ray and the asking engine share the machine's cores, its "
    "memory and its caches, so this says whether a second engine is used, not what a second "
    "machine would add."
)


def cluster(
    only: Annotated[list[str] | None, typer.Option(help=f"{ONLY}: {', '.join(TRIALS)}")] = None,
    quick: QuickOption = False,
    results: OptionalResults = None,
) -> int:
    """Runs the trials, prints and writes; 1 if one misses its bar."""
    if inside := scratch():
        return _run(inside, only, results or (None if quick else RESULTS))
    require_means()
    with short_folder() as name:
        folder = Path(name)
        variables = make_target(CheckpointName.TINY, folder).variables if quick else {}
        environment = {**inherited_environment(), **variables}
        # Inside there is no network; and two nodes would export at the same time.
        checkpoint, settings = _checkpoint(environment)
        exported_folder(checkpoint, settings.cache_dir, print)
        return run_inside(folder, environment)


def _run(folder: Path, only: list[str] | None, results: Path | None) -> int:
    # Else a shell that runs this in the background has `serve run` ignore its end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    load, stage = OutsideLoad(), Stage(folder, *_checkpoint(os.environ))
    written = results and results / "cluster.md"
    bound = {name: partial(trial, stage) for name, trial in TRIALS.items()}
    trials = Trials(bound, only, written, LIMIT_SECONDS, MEASURED)
    try:
        return int(not trials.run())
    finally:
        counts, rows = trials.render()
        about = describe_run("cluster", load.cores())
        versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        write_page(
            written,
            [
                "# A cluster that loses a node",
                f"{about} A row has the date and the machine of its own run; how busy others "
                f"were is told of the last. {versions}.",
                f"{counts} {stage.name} on two nodes of a Ray cluster, served by "
                "[deploy/ray/config.yaml](../../deploy/ray/config.yaml), with two replicas always "
                f"unless a row says otherwise; an engine writes {SLOTS} texts at once. The page's "
                f"own engine asks for texts of up to {TOKENS} tokens over HTTP.",
                "The nodes are namespaces of this one machine, joined by a switch, each with half "
                "of its cores. The head also runs Ray's own processes and its proxy, and is never "
                "lost; the asking engine runs beside both. A node that ended is started again at "
                "once; one that fell silent is replaced when Ray has given it up.",
                rows,
                SIMULATION,
            ],
        )


def _checkpoint(environment: Mapping[str, str]) -> tuple[Checkpoint, Settings]:
    settings = read_settings(environment)
    return resolve_checkpoint(settings, print, lambda checkpoint: checkpoint), settings
