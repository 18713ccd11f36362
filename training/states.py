"""A run's saved states: sealed by checksums as they are saved, verified before one is resumed.

Knows the folders that Trainer saves; must not know what is in their files.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from demo.checkpoints.files import SUMS, ChecksumMismatch, verify_checksums, write_checksums
from training.errors import TrainingError

_PREFIX = "checkpoint-"


class SealStates(TrainerCallback):
    """Writes SHA256SUMS into each state, last of all: a state without it was never finished."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Every process has a file of its own in the state, so all are waited for."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            write_checksums(Path(str(args.output_dir)) / f"{_PREFIX}{state.global_step}")


def has_states(states: Path) -> bool:
    """Whether the folder holds any state, whole or not."""
    return bool(_newest_first(states))


def newest_whole_state(states: Path) -> Path:
    """The newest state whose every file is as it was saved. Each newer one is named aloud.

    Raises:
        TrainingError: there is none.
    """
    for folder in _newest_first(states):
        try:
            _verify(folder)
        except ChecksumMismatch as mismatch:
            print(f"{folder.name} is passed over: {mismatch}", flush=True)
        else:
            print(f"Going on from {folder.name}.", flush=True)
            return folder
    raise TrainingError(f"There is no saved state in {states} to resume from.")


def remove_newer(state: Path) -> None:
    """Removes what was passed over for this state: Trainer would count it as the newest."""
    for folder in _newest_first(state.parent):
        if _step(folder) > _step(state):
            shutil.rmtree(folder)


def _verify(folder: Path) -> None:
    if not (folder / SUMS).is_file():
        raise ChecksumMismatch(f"it has no {SUMS}, so saving it was cut short.")
    verify_checksums(folder)


def _newest_first(states: Path) -> list[Path]:
    found = [path for path in states.glob(f"{_PREFIX}*") if _step(path) >= 0]
    return sorted(found, key=_step, reverse=True)


def _step(folder: Path) -> int:
    number = folder.name.removeprefix(_PREFIX)
    return int(number) if number.isdecimal() and folder.is_dir() else -1
