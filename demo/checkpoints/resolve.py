"""Where a checkpoint comes from: the Hub, a folder, or the embedded one; verified before use.

Knows folders and hashes; must not know what weights mean or how text is generated. Nothing
pickled is ever accepted, nor a checkpoint that brings code. Imports no torch: a start on a CPU
does without it.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from demo import processes
from demo.checkpoints.embedded import BaseFile, BaseUnavailable, locate_base
from demo.checkpoints.files import (
    SUMS,
    ChecksumMismatch,
    read_checksums,
    verify_checksums,
)
from demo.checkpoints.hub import NEEDED, HubError, fetch_files, fetch_snapshot, forget_snapshot
from demo.checkpoints.remembered import RememberedSums

HUB_PATIENCE_SECONDS = 30.0
DIFFERENCE = "difference.safetensors"
BASE = "base.json"
# How it was trained, as a picture: bits per byte on dev, from the pretrained base on.
PLOT = "curve.png"
# What a model is made of besides its weights.
DEFINING = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
# Part of a merged checkpoint's key: raise it when merging writes something else.
MERGE_FORMAT = 2

Say = Callable[[str], None]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message is for the owner and says what to do."""


class OwnersError(CheckpointError):
    """The same, of which the message may name paths of this machine: not for visitors."""


@dataclass(frozen=True)
class Checkpoint:
    """An ordinary, verified checkpoint folder and what its texts are to name.

    `name` is a Hub id, a folder's name or "embedded"; `revision` a commit, or the first 12
    hexadecimal digits of the weights' sha256. `notice` says why this one runs rather than
    the one that was asked for, and is shown on the page. `fingerprint` tells apart whatever a
    model can be made of: config, tokenizer, weights. `writable` says that what is made of it may
    be kept inside the folder: not in the Hub client's cache.
    """

    folder: Path
    name: str
    revision: str
    notice: str = ""
    fingerprint: str = ""
    writable: bool = False
    is_embedded: bool = False


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
    says so. A folder may hold a difference and its `base.json`; it is merged once and
    kept in `cache_dir`.

    Raises:
        CheckpointError: the folder named, or the embedded one, cannot be used.
    """
    workshop = _Workshop(base_file, cache_dir, say, RememberedSums(cache_dir))
    if not model_id:
        if folder is not None and folder.resolve() != embedded.resolve():
            return _from_folder(folder, folder.resolve().name, workshop)
        return _from_embedded(embedded, workshop)
    try:
        return _from_hub(model_id, model_revision, workshop, hub_patience_seconds)
    except (CheckpointError, HubError) as error:
        if isinstance(error, OwnersError):
            say(str(error))
        notice = f"{_for_visitors(error, model_id)} The embedded checkpoint runs instead."
        say(notice)
        return replace(_from_embedded(embedded, workshop), notice=notice)


def early_folder(
    *,
    model_id: str,
    model_revision: str,
    folder: Path | None,
    embedded: Path,
    names: Sequence[str],
    hub_patience_seconds: float = HUB_PATIENCE_SECONDS,
) -> Path:
    """Where the named small files of the checkpoint can be read before its weights are here, so
    that a page can be built with them; the embedded one's where the Hub does not give them."""
    if not model_id:
        return folder or embedded
    try:
        return fetch_files(model_id, model_revision, names, hub_patience_seconds)
    except HubError:
        return embedded


def _for_visitors(error: Exception, model_id: str) -> str:
    """The reason as the page may show it: an owner's sentence can name paths of the machine."""
    return f"{model_id} could not be used." if isinstance(error, OwnersError) else str(error)


@dataclass(frozen=True)
class _Workshop:
    """What verifying and merging take: the base file, a place to work, a voice, a memory."""

    base_file: Path | None
    cache_dir: Path
    say: Say
    sums: RememberedSums

    def sum(self, path: Path) -> str:
        """The sha256 of a file in a verified folder: as it is listed there, if it is."""
        return read_checksums(path.parent).get(path.name) or self.sums.sha256(path)


def _from_hub(
    model_id: str, revision: str, workshop: _Workshop, patience_seconds: float
) -> Checkpoint:
    workshop.say(f"Fetching {model_id} at {revision[:12]} …")
    snapshot = fetch_snapshot(model_id, revision, patience_seconds)
    try:
        folder = _verified(snapshot.folder, model_id, snapshot.sums, workshop)
    except ChecksumMismatch as error:
        forget_snapshot(snapshot)
        raise CheckpointError(
            f"{model_id} at {revision[:12]} is damaged and was not loaded: {error} "
            "It is fetched anew at the next start."
        ) from error
    if snapshot.notice:
        workshop.say(snapshot.notice)
    ordinary = _ordinary(folder, workshop)
    return Checkpoint(
        ordinary, model_id, revision, snapshot.notice, _fingerprint(ordinary, workshop)
    )


def _from_embedded(folder: Path, workshop: _Workshop) -> Checkpoint:
    return replace(_from_folder(folder, "embedded", workshop), is_embedded=True)


def _from_folder(folder: Path, name: str, workshop: _Workshop) -> Checkpoint:
    if not folder.is_dir():
        raise CheckpointError(f"There is no checkpoint folder {folder}. Correct CHECKPOINT.")
    try:
        _verified(folder, name, None, workshop)
    except ChecksumMismatch as error:
        raise CheckpointError(f"The checkpoint in {folder} is damaged: {error}") from error
    ordinary = _ordinary(folder, workshop)
    return Checkpoint(
        ordinary,
        name,
        _weights_revision(folder, workshop),
        fingerprint=_fingerprint(ordinary, workshop),
        writable=os.access(ordinary, os.W_OK),
    )


def _verified(folder: Path, name: str, sums: Mapping[str, str] | None, workshop: _Workshop) -> Path:
    """The folder, if it has what a checkpoint needs and SHA256SUMS agrees; without that
    list, `sums` is compared. Only a folder of the owner's own (None) may go without either.

    Raises:
        CheckpointError: it is not a checkpoint.
        ChecksumMismatch: a file is missing, damaged or, for weights, not listed.
    """
    if _is_difference(folder):
        require_file(folder, BASE)
    else:
        require_ordinary(folder, name)
    listed = read_checksums(folder) or sums or {}
    for file_name, digest in listed.items():
        _verify_file(folder / file_name, digest, workshop)
    for weights in _weights(folder):
        if weights.name not in listed and (listed or sums is not None):
            raise ChecksumMismatch(f"there is no sha256 of {weights.name} to compare.")
    return folder


def _verify_file(path: Path, digest: str, workshop: _Workshop) -> None:
    # A copy may lack its README; what the demo reads must be there.
    if not path.is_file() and not any(fnmatch(path.name, pattern) for pattern in NEEDED):
        return
    if not path.is_file():
        raise ChecksumMismatch(f"{path.name} is missing.")
    if workshop.sums.sha256(path) != digest:
        raise ChecksumMismatch(f"{path.name} does not have its sha256.")


def require_ordinary(folder: Path, name: str) -> None:
    """Raises CheckpointError unless the folder has weights in safetensors and no code."""
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
            require_file(folder, shard)


def _read_json(path: Path) -> dict[str, Any]:
    require_file(path.parent, path.name)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path.name} of {path.parent.name} is not JSON.") from error
    return value if isinstance(value, dict) else {}


def require_file(folder: Path, name: str) -> None:
    """Raises CheckpointError if the folder has no such file."""
    if not (folder / name).is_file():
        # The folder's name alone: a notice is shown to visitors.
        raise CheckpointError(f"The checkpoint {folder.name} has no {name}.")


def _is_difference(folder: Path) -> bool:
    return (folder / DIFFERENCE).is_file()


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob(DIFFERENCE if _is_difference(folder) else "model*.safetensors"))


def _weights_revision(folder: Path, workshop: _Workshop) -> str:
    """12 digits: of the one weights file's sha256, or of the sums of several (and the base)."""
    files = [*_weights(folder), *folder.glob(BASE)]
    sums = [workshop.sum(path) for path in files]
    return (sums[0] if len(sums) == 1 else _digest(*sums))[:12]


def _fingerprint(folder: Path, workshop: _Workshop) -> str:
    files = sorted({*_weights(folder), *(folder / name for name in DEFINING)})
    there = [path for path in files if path.is_file()]
    return _digest(*(f"{path.name} {workshop.sum(path)}" for path in there))[:32]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _ordinary(folder: Path, workshop: _Workshop) -> Path:
    """The folder itself, or the checkpoint that its difference makes with its base."""
    if not _is_difference(folder):
        return folder
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    parts = [f"{path.name} {workshop.sum(path)}" for path in files]
    target = workshop.cache_dir / "merged" / _digest(str(MERGE_FORMAT), *parts)[:32]
    if not _is_whole(target, workshop):
        _build(folder, target, workshop)
    return target


def _is_whole(merged: Path, workshop: _Workshop) -> bool:
    try:
        verify_checksums(merged, workshop.sums.sha256)
    except ChecksumMismatch:
        return False
    return (merged / SUMS).is_file()


def _build(folder: Path, target: Path, workshop: _Workshop) -> None:
    try:
        base = _base_of(folder)
        gguf = locate_base(base, workshop.base_file, workshop.cache_dir, workshop.say)
        workshop.say(f"Adding our weights to {base.file_name}, once …")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            merged = Path(scratch) / "merged"
            arguments = map(str, (folder, gguf, merged))
            processes.run("demo.checkpoints.merging", *arguments, say=workshop.say)
            put_in_place(merged, target, lambda made: _is_whole(made, workshop))
    except (BaseUnavailable, processes.ModuleFailed) as error:
        raise OwnersError(str(error)) from error
    except OSError as error:
        raise OwnersError(
            f"The merged checkpoint could not be written in {target.parent} "
            f"({error.strerror or error}). Set CACHE_DIR to a folder with 2 GB free."
        ) from error


def _base_of(folder: Path) -> BaseFile:
    try:
        return BaseFile.read(folder / BASE)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{BASE} of {folder.name} does not describe a base file.") from error


def put_in_place(made: Path, target: Path, is_whole: Callable[[Path], bool]) -> None:
    """Renames a folder to its place, unless another process was first; a damaged one there is
    moved aside, next to `made`."""
    if is_whole(target):
        return
    # Looked at again just before: what another process put there meanwhile may be whole.
    if target.exists() and not is_whole(target):
        with suppress(FileNotFoundError):
            os.rename(target, made.with_name("damaged"))
    try:
        os.rename(made, target)
    except OSError:
        if not is_whole(target):
            raise
