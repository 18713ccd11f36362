"""Where a checkpoint comes from: the Hub, a folder, or the embedded one; verified before use.

Knows folders, hashes, weights and tokenizers; must not know requests or how text is generated.
Nothing pickled is ever loaded, and no code that a checkpoint brings is ever run.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from demo.generation.base import BaseFile, BaseUnavailable, dequantise, locate_base
from demo.generation.checksums import (
    SUMS,
    ChecksumMismatch,
    file_sha256,
    read_checksums,
    verify_checksums,
    write_checksums,
)
from demo.generation.hub import NEEDED, HubError, fetch_snapshot, forget_snapshot

HUB_PATIENCE_SECONDS = 30.0
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BASE = "base.json"
# Part of a merged checkpoint's key: raise it when merging writes something else.
MERGE_FORMAT = 1

Say = Callable[[str], None]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message is for the owner and says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """An ordinary, verified checkpoint folder and what its texts are to name.

    `name` is a Hub id, a folder's name or "embedded"; `revision` a commit, or the first 12
    hexadecimal digits of the weights' sha256. `notice` says why this one runs rather than
    the one that was asked for, and is shown on the page.
    """

    folder: Path
    name: str
    revision: str
    notice: str = ""


def resolve_checkpoint(
    *,
    model_id: str,
    model_revision: str,
    folder: Path | None,
    embedded: Path,
    base_file: Path | None,
    cache_dir: Path,
    say: Say,
    hub_patience_seconds: float = HUB_PATIENCE_SECONDS,
) -> Checkpoint:
    """The checkpoint of a Hub repository, else of a folder, else the embedded one.

    Only a Hub checkpoint that cannot be had is replaced, by the embedded one, and `notice`
    says so. A folder may hold an adapter and its `base.json`; it is merged once and kept
    in `cache_dir`.

    Raises:
        CheckpointError: the folder named, or the embedded one, cannot be used.
    """
    workshop = _Workshop(base_file, cache_dir, say)
    if not model_id:
        chosen = folder or embedded
        return _from_folder(chosen, folder.resolve().name if folder else "embedded", workshop)
    try:
        return _from_hub(model_id, model_revision, workshop, hub_patience_seconds)
    except (CheckpointError, HubError) as error:
        notice = f"{error} The embedded checkpoint runs instead."
        say(notice)
        return replace(_from_folder(embedded, "embedded", workshop), notice=notice)


def load_model(
    folder: Path, dtype: torch.dtype, device: str
) -> tuple[Any, PreTrainedTokenizerBase]:
    """The model, in evaluation mode on the device, and the tokenizer of a checkpoint folder.

    Raises:
        CheckpointError: a weight is missing, superfluous, misshapen or not finite, the
            tokenizer does not fit, or the checkpoint brings code of its own.
    """
    _require_ordinary(folder, folder.name)
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:
        raise CheckpointError(f"{folder.name} could not be loaded: {_first_line(error)}") from error
    model, report = loaded
    _require_every_weight(folder.name, report)
    _require_fitting_tokenizer(folder.name, model, tokenizer)
    model.to(device).eval()
    _require_finite(folder.name, model, tokenizer.eos_token_id)
    return model, tokenizer


def merge_adapter(adapter: Path, base_folder: Path, out: Path) -> None:
    """Merges a LoRA adapter folder into its base, in fp32, as an ordinary checkpoint folder.

    What else the adapter's folder holds (decoding defaults, figures) is copied.

    Raises:
        CheckpointError: the adapter does not fit the base, or has no safetensors.
    """
    # Seconds to import, for what is needed once in a machine's life.
    from peft import PeftModel, get_peft_model_state_dict  # noqa: PLC0415

    # Without this file, peft would look for a pickled one.
    _require_file(adapter, ADAPTER_WEIGHTS)
    base, tokenizer = load_model(base_folder, torch.float32, "cpu")
    try:
        with _quiet(), safe_open(adapter / ADAPTER_WEIGHTS, "pt") as stored:
            tuned = PeftModel.from_pretrained(base, str(adapter), torch_device="cpu")
            expected = get_peft_model_state_dict(tuned, save_embedding_layers=False)
            unmatched = set(expected).symmetric_difference(stored.keys())
    except Exception as error:
        raise CheckpointError(
            f"{adapter.name} does not fit its base: {_first_line(error)}"
        ) from error
    if unmatched:
        raise CheckpointError(
            f"{adapter.name} does not fit its base: {min(unmatched)} has no match."
        )
    with _quiet():
        tuned.merge_and_unload().save_pretrained(out)
    tokenizer.save_pretrained(out)
    for path in adapter.iterdir():
        if path.is_file() and path.name not in (ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE, SUMS):
            shutil.copyfile(path, out / path.name)
    write_checksums(out)


@dataclass(frozen=True)
class _Workshop:
    """What merging an adapter takes: the base file, a place to work, a voice."""

    base_file: Path | None
    cache_dir: Path
    say: Say


def _from_hub(
    model_id: str, revision: str, workshop: _Workshop, patience_seconds: float
) -> Checkpoint:
    workshop.say(f"Fetching {model_id} at {revision[:12]} …")
    snapshot = fetch_snapshot(model_id, revision, patience_seconds)
    try:
        folder = _verified(snapshot.folder, model_id, snapshot.sums)
    except ChecksumMismatch as error:
        forget_snapshot(snapshot)
        raise CheckpointError(
            f"{model_id} at {revision[:12]} is damaged and was not loaded: {error} "
            "It is fetched anew at the next start."
        ) from error
    if snapshot.notice:
        workshop.say(snapshot.notice)
    return Checkpoint(_ordinary(folder, workshop), model_id, revision, snapshot.notice)


def _from_folder(folder: Path, name: str, workshop: _Workshop) -> Checkpoint:
    if not folder.is_dir():
        raise CheckpointError(f"There is no checkpoint folder {folder}. Correct CHECKPOINT.")
    try:
        _verified(folder, name, None)
    except ChecksumMismatch as error:
        raise CheckpointError(f"The checkpoint in {folder} is damaged: {error}") from error
    return Checkpoint(_ordinary(folder, workshop), name, _weights_revision(folder))


def _verified(folder: Path, name: str, sums: Mapping[str, str] | None) -> Path:
    """The folder, if it has what a checkpoint needs and SHA256SUMS agrees; without that
    list, `sums` is compared. Only a folder of the owner's own (None) may go without either.

    Raises:
        CheckpointError: it is not a checkpoint.
        ChecksumMismatch: a file is missing, damaged or, for weights, not listed.
    """
    if _is_adapter(folder):
        _require_file(folder, BASE)
        _require_file(folder, ADAPTER_WEIGHTS)
    else:
        _require_ordinary(folder, name)
    listed = read_checksums(folder) or sums or {}
    for file_name, digest in listed.items():
        _verify_file(folder / file_name, digest)
    for weights in _weights(folder):
        if weights.name not in listed and (listed or sums is not None):
            raise ChecksumMismatch(f"there is no sha256 of {weights.name} to compare.")
    return folder


def _verify_file(path: Path, digest: str) -> None:
    # A copy may lack its README; what the demo reads must be there.
    if not path.is_file() and not any(fnmatch(path.name, pattern) for pattern in NEEDED):
        return
    if not path.is_file():
        raise ChecksumMismatch(f"{path.name} is missing.")
    if file_sha256(path) != digest:
        raise ChecksumMismatch(f"{path.name} does not have its sha256.")


def _require_ordinary(folder: Path, name: str) -> None:
    for settings in ("config.json", "tokenizer_config.json"):
        if "auto_map" in _read_json(folder / settings):
            raise CheckpointError(
                f"{name} brings code of its own (auto_map in {settings}), which is never run: "
                "take a checkpoint of an architecture that transformers has."
            )
    if not _weights(folder):
        raise CheckpointError(
            f"{name} has no weights in safetensors, and pickled ones are never loaded: "
            "convert them with `save_pretrained`."
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        for shard in set(_read_json(index).get("weight_map", {}).values()):
            _require_file(folder, shard)


def _read_json(path: Path) -> dict[str, Any]:
    _require_file(path.parent, path.name)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path.name} of {path.parent.name} is not JSON.") from error
    return value if isinstance(value, dict) else {}


def _require_file(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        # The folder's name alone: a notice is shown to visitors.
        raise CheckpointError(f"The checkpoint {folder.name} has no {name}.")


def _is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file()


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob(ADAPTER_WEIGHTS if _is_adapter(folder) else "model*.safetensors"))


def _weights_revision(folder: Path) -> str:
    """12 digits: of the one weights file's sha256, or of the sums of several (and the base)."""
    files = [*_weights(folder), *folder.glob(BASE)]
    sums = [file_sha256(path) for path in files]
    return (sums[0] if len(sums) == 1 else _digest(*sums))[:12]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _ordinary(folder: Path, workshop: _Workshop) -> Path:
    """The folder itself, or the checkpoint that its adapter makes with its base."""
    if not _is_adapter(folder):
        return folder
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    parts = [f"{path.name} {file_sha256(path)}" for path in files]
    target = workshop.cache_dir / "merged" / _digest(str(MERGE_FORMAT), *parts)[:32]
    if not _is_whole(target):
        _build(folder, target, workshop)
    return target


def _is_whole(merged: Path) -> bool:
    try:
        verify_checksums(merged)
    except ChecksumMismatch:
        return False
    return (merged / SUMS).is_file()


def _build(adapter: Path, target: Path, workshop: _Workshop) -> None:
    try:
        base = _base_of(adapter)
        gguf = locate_base(base, workshop.base_file, workshop.cache_dir, workshop.say)
        workshop.say(f"Merging the adapter with {base.file_name}, once …")
        target.parent.mkdir(parents=True, exist_ok=True)
        with _quiet(), tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            dequantise(gguf, Path(scratch) / "base")
            merge_adapter(adapter, Path(scratch) / "base", Path(scratch) / "merged")
            _put_in_place(Path(scratch), target)
    except BaseUnavailable as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:
        raise CheckpointError(
            f"The merged checkpoint could not be written in {target.parent} "
            f"({error.strerror or _first_line(error)}). Set CACHE_DIR to a folder with 2 GB free."
        ) from error


def _base_of(adapter: Path) -> BaseFile:
    try:
        return BaseFile.read(adapter / BASE)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{BASE} of {adapter.name} does not describe a base file.") from error


def _put_in_place(scratch: Path, target: Path) -> None:
    """Renames the merged checkpoint to its place, unless another process was first."""
    if _is_whole(target):
        return
    if target.exists():
        os.rename(target, scratch / "damaged")
    try:
        os.rename(scratch / "merged", target)
    except OSError:
        if not _is_whole(target):
            raise


def _require_every_weight(name: str, report: Mapping[str, Any]) -> None:
    """transformers fills a missing weight with noise, and only logs that it did."""
    for kind in ("missing", "unexpected", "mismatched"):
        keys = sorted(map(str, report.get(f"{kind}_keys", ())))
        if keys:
            raise CheckpointError(
                f"{name} does not fit its config.json: {len(keys)} {kind} weights, "
                f"the first being {keys[0]}."
            )


def _require_fitting_tokenizer(name: str, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    if tokenizer.eos_token_id is None:
        raise CheckpointError(f"The tokenizer of {name} has no eos_token to end a text with.")
    if len(tokenizer) > model.config.vocab_size:
        raise CheckpointError(
            f"The tokenizer of {name} has {len(tokenizer):,} tokens; "
            f"its model knows {model.config.vocab_size:,}."
        )


@torch.inference_mode()
def _require_finite(name: str, model: Any, mark: int) -> None:
    ids = torch.tensor([[mark]], device=model.device)
    logits = model(ids, attention_mask=torch.ones_like(ids)).logits
    if not bool(torch.isfinite(logits).all()):
        raise CheckpointError(f"{name} is damaged: its model gives logits that are not finite.")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """What loading would log is checked here, and raised in a sentence where it matters."""
    verbosity = transformers.logging.get_verbosity()
    had_bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity(logging.ERROR)
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft reads what transformers is about to rename.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if had_bars:
            transformers.logging.enable_progress_bar()
