"""What a run saves: states to resume from, and the checkpoint folder that it hands over.

A state is sealed by checksums as it is saved, and verified before it is resumed.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainerState, TrainingArguments

from demo.checkpoints.difference import Differences, write_difference
from demo.checkpoints.embedded import SMOLLM2_135M_INSTRUCT
from demo.checkpoints.files import (
    BASE,
    DIFFERENCE,
    SUMS,
    ChecksumMismatch,
    verify_checksums,
    write_checksums,
)
from demo.checkpoints.persona import Persona
from demo.generation.request import FIELDS
from training import TrainingError
from training.card import write_card
from training.files import write_json

_PREFIX = "checkpoint-"


class SealStates(TrainerCallback):
    """Writes SHA256SUMS into each state, last of all: a state without it was never finished."""

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        """Waits for all processes: each has a file of its own in the state."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            write_checksums(Path(str(args.output_dir)) / f"{_PREFIX}{state.global_step}")


def has_states(states: Path) -> bool:
    """Whether the folder holds any state, whole or not."""
    return bool(_newest_first(states))


def newest_whole_state(states: Path) -> Path:
    """The newest state whose every file is as it was saved; prints why newer ones are not used.
    Raises TrainingError if there is none."""
    for folder in _newest_first(states):
        try:
            if not (folder / SUMS).is_file():
                raise ChecksumMismatch(f"it has no {SUMS}, so saving it was cut short.")
            verify_checksums(folder)
        except ChecksumMismatch as mismatch:
            print(f"{folder.name} is passed over: {mismatch}", flush=True)
        else:
            print(f"Going on from {folder.name}.", flush=True)
            return folder
    raise TrainingError(f"There is no saved state in {states} to resume from.")


def remove_newer(state: Path) -> None:
    """Removes the states that were passed over for this one: Trainer would count them as newest."""
    for folder in _newest_first(state.parent):
        if _step(folder) > _step(state):
            shutil.rmtree(folder)


def _newest_first(states: Path) -> list[Path]:
    found = [path for path in states.glob(f"{_PREFIX}*") if _step(path) >= 0]
    return sorted(found, key=_step, reverse=True)


def _step(folder: Path) -> int:
    number = folder.name.removeprefix(_PREFIX)
    return int(number) if number.isdecimal() and folder.is_dir() else -1


def write_checkpoint(
    folder: Path,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    persona: Persona,
    metrics: dict[str, Any],
    deltas: Differences | None = None,
) -> None:
    """Writes weights, config, tokenizer, decoding defaults, persona, metrics, card and checksums.

    With `deltas` to the packaged base, these and a `base.json` are written instead of weights,
    config and tokenizer. Whatever the folder held is removed first: an earlier run's weights or
    deltas would be taken for this one's.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if deltas is not None:
        write_difference(folder / DIFFERENCE, deltas)
        SMOLLM2_135M_INSTRUCT.write(folder / BASE)
    else:
        model.config.use_cache = True
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    persona.write(folder)
    _generation_config(tokenizer).save_pretrained(folder)
    _write_metrics(folder, metrics)


def record(folder: Path, metrics: dict[str, Any]) -> None:
    """Writes a checkpoint's metrics, its card anew from them, and its checksums."""
    _write_metrics(folder, metrics)
    print(f"Recorded in {folder}.")


def _write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    write_json(folder / "metrics.json", metrics)
    write_card(folder)
    write_checksums(folder)


def _generation_config(tokenizer: PreTrainedTokenizerBase) -> transformers.GenerationConfig:
    """Decoding defaults with which a plain pipeline("text-generation") just works."""
    eos = tokenizer.eos_token_id
    return transformers.GenerationConfig(
        do_sample=True,
        max_new_tokens=int(FIELDS["max_new_tokens"].default or 0),
        temperature=FIELDS["temperature"].default,
        top_p=FIELDS["top_p"].default,
        top_k=0,
        bos_token_id=eos,
        eos_token_id=eos,
        pad_token_id=eos,
    )
