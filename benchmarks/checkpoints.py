"""The checkpoints that `serve` and `raw` measure.

torch runs in a process of its own: a library that the benchmark shared with an app would halve the
app's share of it, and so its measured memory.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from safetensors import safe_open

from benchmarks import BenchmarkError
from benchmarks.measuring import ROOT
from demo.checkpoints.embedded import EMBEDDED
from training.command_line import flag
from training.files import resolve_folder


class CheckpointName(StrEnum):
    """What can be measured: gpt2-medium's shape and a tiny one have random weights."""

    GPT2_MEDIUM = "gpt2-medium"
    EMBEDDED = "embedded"
    TINY = "tiny"


QuickOption = Annotated[bool, flag("quick", "a tiny checkpoint, once: does everything run?")]
CheckpointOption = Annotated[
    list[CheckpointName] | None,
    typer.Option(help="measure this one alone; may be given again (default: all but the tiny one)"),
]
OptionalResults = Annotated[
    Path | None,
    typer.Option(help="where to write (default: benchmarks/results; with --quick, nowhere)"),
]


@dataclass(frozen=True)
class Target:
    """A checkpoint folder, whether its weights are random, and the settings with which our app
    serves it."""

    name: str
    folder: Path
    is_random: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


def chosen_names(checkpoint: Sequence[CheckpointName] | None, quick: bool) -> list[CheckpointName]:
    if checkpoint:
        return list(checkpoint)
    if quick:
        return [CheckpointName.TINY]
    return [CheckpointName.GPT2_MEDIUM, CheckpointName.EMBEDDED]


def make_target(name: CheckpointName, scratch: Path) -> Target:
    """Makes a checkpoint ready. Raises BenchmarkError if the one with random weights could not be
    written."""
    if name is CheckpointName.EMBEDDED:
        return Target("embedded", resolve_folder(EMBEDDED).folder)
    folder = scratch / name
    command = [sys.executable, "-m", "benchmarks.random_checkpoint", name, str(folder)]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise BenchmarkError(f"The checkpoint {name} could not be made; the error is above.")
    title = "a tiny shape" if name is CheckpointName.TINY else "gpt2-medium's shape"
    # What our app derives from the checkpoint is deleted with it.
    variables = {"CHECKPOINT": str(folder), "CACHE_DIR": str(scratch / "cache")}
    return Target(title, folder, is_random=True, variables=variables)


def read_parameters(checkpoint: Path) -> int:
    """How many weights one new token needs to be read: all matrices but the position table, of
    which one row is read. The tied embedding is read whole, as the head."""
    with safe_open(checkpoint / "model.safetensors", "np") as file:
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    return sum(
        shape[0] * shape[1]
        for key, shape in shapes.items()
        if len(shape) == 2 and not key.endswith("wpe.weight")
    )
