"""The checkpoints that `serve` measures, made ready for both apps.

Knows where a checkpoint comes from; must not know how it is served. What needs torch runs in a
process of its own: a library that the benchmark shared with an app would halve the app's share
of it, and so its memory.
"""

import argparse
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.observations import App
from demo.checkpoints.resolve import Checkpoint, resolve_checkpoint
from demo.settings import read_settings

EMBEDDED = Path(__file__).parent.parent / "embedded"


@dataclass(frozen=True)
class Target:
    """A checkpoint, and the environment variables with which each app serves it."""

    name: str
    variables: Mapping[App, Mapping[str, str]]


def medium(scratch: Path) -> Target:
    """gpt2-medium's shape with random weights."""
    return _random_weights("gpt2-medium's shape", _build_medium, scratch / "gpt2-medium")


def tiny(scratch: Path) -> Target:
    """The smallest thing that goes the same way."""
    return _random_weights("a tiny shape", _build_tiny, scratch / "tiny")


def embedded_checkpoint() -> Checkpoint:
    """The checkpoint that runs when none is named."""
    settings = read_settings()
    return resolve_checkpoint(
        model_id="",
        model_revision="",
        folder=None,
        embedded=EMBEDDED,
        base_file=settings.base_file,
        cache_dir=settings.cache_dir,
        say=print,
    )


def embedded(scratch: Path) -> Target:
    """The original is given the merged folder."""
    folder = str(embedded_checkpoint().folder)
    return Target("embedded", {"ours": {}, "original": {"CHECKPOINT": folder}})


# By the names that the command line takes.
TARGETS: Mapping[str, Callable[[Path], Target]] = {
    "gpt2-medium": medium,
    "embedded": embedded,
    "tiny": tiny,
}


def add_measuring_arguments(parser: argparse.ArgumentParser, repeats: int, unit: str) -> None:
    """What every verb that measures checkpoints takes; `unit` says what is repeated."""
    parser.add_argument(
        "--quick", action="store_true", help="a tiny checkpoint, once: does everything run?"
    )
    parser.add_argument(
        "--checkpoint",
        choices=tuple(TARGETS),
        action="append",
        help="measure this one alone; may be given again (default: all but the tiny one)",
    )
    parser.add_argument("--repeats", type=int, default=repeats, help=unit)
    parser.add_argument(
        "--results",
        type=Path,
        help="where to write (default: benchmarks/results; with --quick, nowhere)",
    )


def _random_weights(name: str, build: Callable[[Path], None], folder: Path) -> Target:
    """What our app makes of it is kept beside it, and goes with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(build, folder).result()
    served = {"CHECKPOINT": str(folder)}
    cache = {"CACHE_DIR": str(folder.parent / "cache")}
    return Target(name, {"ours": {**served, **cache}, "original": served})


def _build_medium(folder: Path) -> None:
    from benchmarks.shapes import build_gpt2_medium  # noqa: PLC0415  (imports torch)

    build_gpt2_medium(folder)


def _build_tiny(folder: Path) -> None:
    from benchmarks.shapes import build_tiny  # noqa: PLC0415  (imports torch)

    build_tiny(folder)
