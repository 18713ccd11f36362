"""What a run saves: states to resume from, and the checkpoint folder that it hands over.

A state is sealed by checksums as it is saved, and verified before it is resumed.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainerState, TrainingArguments

from demo.checkpoints.cache import scratch_folder
from demo.checkpoints.difference import Delta, write_difference
from demo.checkpoints.embedded import EMBEDDED, SMOLLM2_135M_INSTRUCT
from demo.checkpoints.files import (
    BASE,
    DIFFERENCE,
    METRICS,
    SUMS,
    ChecksumMismatch,
    is_whole,
    verify_checksums,
    write_checksums,
)
from demo.checkpoints.persona import Persona
from demo.generation.request import FIELDS
from training import TrainingError
from training.card import EMBEDDED_CARD, render_card
from training.files import write_json, written_aside
from training.terms import Terms

CARD = "README.md"
_PREFIX = "checkpoint-"
# What Trainer keeps, and the one that it is saving.
_STATES = 3


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


def require_disk(out: Path, model: Any) -> None:
    """Raises TrainingError if the disk has too little room for the states of a run of this model,
    whose weights are in fp32, and the checkpoint that is made of it."""
    weights = sum(weight.numel() for weight in model.parameters())
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    # A state has what is trained and Adam's two moments of it; three exist while one is saved.
    needed = 4 * (3 * _STATES * trained + weights)
    there = sum(path.stat().st_size for path in (out / "states").rglob("*") if path.is_file())
    free = shutil.disk_usage(out).free
    if needed > free + there:
        raise TrainingError(
            f"The run needs {needed / 1e9:.1f} GB in {out} for its states and its checkpoint, and "
            f"{free / 1e9:.1f} GB are free: free some, or give an --out on another disk."
        )


def write_checkpoint(
    folder: Path,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    persona: Persona,
    metrics: dict[str, Any],
    deltas: Mapping[str, Delta] | None = None,
) -> None:
    """Writes weights, config, tokenizer, decoding defaults, persona, metrics, card and checksums.

    With `deltas` to the packaged base, these and a `base.json` are written instead of weights,
    config and tokenizer. Whatever the folder held is removed, once the new files are all written:
    an earlier run's weights or deltas would be taken for this one's.
    """
    with scratch_folder(folder.parent) as scratch:
        made = scratch / "made"
        made.mkdir()
        if deltas is not None:
            write_difference(made / DIFFERENCE, deltas)
            SMOLLM2_135M_INSTRUCT.write(made / BASE)
        else:
            model.config.use_cache = True
            model.save_pretrained(made)
            tokenizer.save_pretrained(made)
        persona.write(made)
        _generation_config(model, tokenizer).save_pretrained(made)
        write_json(made / METRICS, metrics)
        (made / CARD).write_text(render_card(made), encoding="utf-8")
        write_checksums(made)
        if folder.exists():
            folder.rename(scratch / "before")
        made.rename(folder)


def record(
    folder: Path,
    metrics: dict[str, Any],
    files: Mapping[str, Callable[[Path], object]] | None = None,
) -> None:
    """Writes a checkpoint's metrics and other files of it, its card anew, and its checksums: all of
    them or, where one cannot be written, none.

    Args:
        files: by the name of each file, what writes it to a path.
    """
    is_embedded = folder.resolve() == EMBEDDED
    writers: dict[str, Callable[[Path], object]] = {**(files or {})}
    writers[METRICS] = lambda path: write_json(path, metrics)
    with written_aside(folder) as made:
        # The card and the sums are made from a whole folder.
        for path in folder.iterdir():
            if path.is_file() and path.name not in (*writers, CARD, SUMS):
                _link(path, made / path.name)
        for file, write in writers.items():
            write(made / file)
        (made / CARD).write_text(render_card(made, is_embedded=is_embedded), encoding="utf-8")
        if is_embedded:
            # Its card is not part of its folder.
            os.replace(made / CARD, EMBEDDED_CARD)
        write_checksums(made)
    print(f"Recorded in {folder}.")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Not every file system has links.
        shutil.copyfile(source, target)


def _generation_config(
    model: Any, tokenizer: PreTrainedTokenizerBase
) -> transformers.GenerationConfig:
    """Decoding defaults with which a plain pipeline("text-generation") just works: it samples as
    the demo does, and leaves half of the context to the prompt."""
    longest = int(FIELDS["max_new_tokens"].default or 0)
    eos = tokenizer.eos_token_id
    return transformers.GenerationConfig(
        do_sample=True,
        max_new_tokens=min(longest, model.config.max_position_embeddings // 2),
        temperature=FIELDS["temperature"].default,
        top_p=FIELDS["top_p"].default,
        top_k=0,
        bos_token_id=eos,
        eos_token_id=eos,
        pad_token_id=eos,
    )
