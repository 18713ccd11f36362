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
    is_whole,
    verify_checksums,
    write_checksums,
)
from demo.checkpoints.persona import Persona
from demo.generation.request import FIELDS
from training import TrainingError
from training.card import write_card
from training.files import write_json
from training.terms import Terms

_PREFIX = "checkpoint-"


class SealStates(TrainerCallback):
    """Writes into each state what the run is made of, and last of all SHA256SUMS: a state without
    it was never finished."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        """Waits for all processes: each has a file of its own in the state."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            folder = _state_folder(args, state.global_step)
            self._terms.write(folder)
            write_checksums(folder)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any
    ) -> None:
        """Finds the best state of a run that goes on."""
        find_best(args, state)


def find_best(args: TrainingArguments, state: TrainerState) -> None:
    """Points a run's record at its best state, which it names by a path: the run's folder may have
    been moved. A best state that is not whole counts for nothing."""
    state.best_model_checkpoint = None
    if not state.best_global_step:
        return
    folder = _state_folder(args, state.best_global_step)
    if is_whole(folder):
        state.best_model_checkpoint = str(folder)
    else:
        print(f"The best state, {folder.name}, is not whole any more: it is left out.", flush=True)
        state.best_metric = state.best_global_step = None


def has_states(states: Path) -> bool:
    """Whether the folder holds any state, whole or not."""
    return bool(_newest_first(states))


def newest_whole_state(states: Path) -> Path | None:
    """The newest state whose every file is as it was saved, None if no state was ever finished;
    prints why newer ones are not used. Raises TrainingError if there is no state at all, or none
    that is whole."""
    found = _newest_first(states)
    if not found:
        raise TrainingError(f"There is no saved state in {states} to resume from.")
    for folder in found:
        try:
            if not (folder / SUMS).is_file():
                raise ChecksumMismatch(f"it has no {SUMS}, so saving it was cut short.")
            verify_checksums(folder)
        except ChecksumMismatch as mismatch:
            print(f"{folder.name} is passed over: {mismatch}", flush=True)
        else:
            print(f"Going on from {folder.name}.", flush=True)
            return folder
    if any((folder / SUMS).is_file() for folder in found):
        raise TrainingError(
            f"No saved state in {states} is whole: delete that folder to begin again, or give "
            "another --out."
        )
    print("No state was saved whole yet, so the run begins again.", flush=True)
    return None


def remove_newer(states: Path, state: Path | None) -> None:
    """Removes the states that were passed over for this one, or all if the run begins again:
    Trainer would count them as newest."""
    for folder in _newest_first(states):
        if state is None or _step(folder) > _step(state):
            shutil.rmtree(folder)


def _state_folder(args: TrainingArguments, step: int) -> Path:
    return Path(str(args.output_dir)) / f"{_PREFIX}{step}"


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
