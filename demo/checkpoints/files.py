"""The files of a checkpoint: names by role, limits, checksums, and how one is read.

Anybody may have written a checkpoint. Whatever reads one of its files, a library too, takes it from
`find_file`: an ordinary file inside the folder, no larger than its kind may be.
"""

import errno
import hashlib
import json
import math
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from demo.strict_json import parse_json

SUMS = "SHA256SUMS"
# The weights of the embedded checkpoint, as their difference to the base file in `base.json`.
DIFFERENCE = "difference.safetensors"
BASE = "base.json"
METRICS = "metrics.json"
CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
GENERATION_CONFIG = "generation_config.json"
PERSONA = "persona.json"
# Bits per byte on dev during training, as a picture.
PLOT = "curve.png"
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
# Of each file the largest size, in bytes: several times what any real checkpoint has. Weights have
# no limit of their own: they must fit the machine's memory.
# What defines a model besides its weights.
DEFINING: Mapping[str, float] = {
    "config.json": 1_000_000,
    "tokenizer.json": 64_000_000,
    "tokenizer_config.json": 4_000_000,
    "special_tokens_map.json": 1_000_000,
    "added_tokens.json": 1_000_000,
    "vocab.json": 32_000_000,
    "merges.txt": 32_000_000,
}
# Small files that the page is built from, read before the weights are fetched.
EARLY: Mapping[str, float] = {PERSONA: 100_000, GENERATION_CONFIG: 1_000_000}
# What a running demo reads, as patterns; nothing pickled, no code.
NEEDED: Mapping[str, float] = {
    **DEFINING,
    **EARLY,
    BASE: 10_000,
    METRICS: 4_000_000,
    PLOT: 8_000_000,
    SUMS: 1_000_000,
    "originals.safetensors": 8_000_000,
    "detector.safetensors": 8_000_000,
    "*.safetensors": math.inf,
    "*.safetensors.index.json": 16_000_000,
}
IGNORED = ("*/*",)
# The one subfolder that is read: an OpenVINO export that a checkpoint may ship.
EXPORT_SUBFOLDER = "openvino"
NEEDED_OF_EXPORT: Mapping[str, float] = {
    "openvino_model.xml": 32_000_000,
    "openvino_model.bin": math.inf,
    "export.json": 10_000,
    **{name: NEEDED[name] for name in ("config.json", GENERATION_CONFIG, "tokenizer.json", SUMS)},
}
Sha256 = Callable[[Path], str]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message is for the owner and says what to do."""


class PrivateCheckpointError(CheckpointError):
    """The same, with a message that may name paths of this machine: not shown to visitors."""


class ChecksumMismatch(ValueError):
    """A file is missing or not what was written; the message names it."""


def find_file(folder: Path, name: str) -> Path | None:
    """Where a file of a checkpoint's folder is; None if there is none of that name. A link is
    followed inside the folder only, or, from a snapshot in the Hub client's cache, to that cache's
    files. Raises CheckpointError if it is no ordinary file, cannot be read, is outside or too
    large."""
    if os.path.basename(name) != name or name in ("", ".", "..") or "\0" in name:
        raise CheckpointError(f"{folder.name} names {name[:80]!r}, which is not a file inside it.")
    what = f"{name} of {folder.name}"
    try:
        path = Path(os.path.realpath(folder / name, strict=True))
        state = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"{what} cannot be read: {error.strerror}.") from error
    if not any(path.is_relative_to(root) for root in _roots(folder)):
        raise CheckpointError(
            f"{what} is a link to a file outside the folder, which is not read: put a copy in its "
            "place."
        )
    if not stat.S_ISREG(state.st_mode):
        raise CheckpointError(f"{what} is not an ordinary file.")
    if not os.access(path, os.R_OK):
        raise CheckpointError(f"{what} cannot be read: {os.strerror(errno.EACCES)}.")
    every = {**NEEDED_OF_EXPORT, **NEEDED}.items()
    limit = next((most for pattern, most in every if fnmatch(name, pattern)), math.inf)
    if state.st_size > limit:
        raise CheckpointError(f"{what} is {state.st_size:,} bytes; at most {limit:,} are read.")
    return path


def _roots(folder: Path) -> Iterator[Path]:
    """Where a folder's files may be."""
    real = Path(os.path.realpath(folder))
    yield real
    for one in (real, real.parent):
        if one.parent.name == "snapshots" and one.parent.parent.name.startswith("models--"):
            yield one.parent.parent.parent


def require_file(folder: Path, name: str) -> Path:
    """The same of a file that must be there."""
    path = find_file(folder, name)
    if path is None:
        # The folder's name alone: a notice is shown to visitors.
        raise CheckpointError(f"The checkpoint {folder.name} has no {name}.")
    return path


def read_json(folder: Path, name: str) -> Any:
    """The value of a JSON file, None if there is no such file. Raises CheckpointError."""
    path = find_file(folder, name)
    if path is None:
        return None
    try:
        return parse_json(path.read_bytes())
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{name} of {folder.name} is not JSON.") from error
    except ValueError as error:
        raise CheckpointError(
            f"{name} of {folder.name} is not JSON that is read: {error}."
        ) from error


def read_object(folder: Path, name: str) -> dict[str, Any]:
    """The same, of a file that must be there and hold an object."""
    require_file(folder, name)
    value = read_json(folder, name)
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} of {folder.name} is not a JSON object.")
    return value


def needed_files(folder: Path) -> dict[str, Path]:
    """Where each file is that a running demo reads, by its name. Raises CheckpointError."""
    names = (name for name in sorted(os.listdir(folder)) if any(fnmatch(name, p) for p in NEEDED))
    return {name: path for name in names if (path := find_file(folder, name)) is not None}


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Writes SHA256SUMS over every other file directly in the folder, whole or not at all, and
    gives those files its own permissions."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in names]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        written = Path(scratch) / SUMS
        written.write_text("".join(lines), encoding="utf-8")
        os.replace(written, folder / SUMS)
    mode = (folder / SUMS).stat().st_mode
    for name in names:
        # safetensors writes files that only their owner may read.
        if not (folder / name).is_symlink():
            (folder / name).chmod(mode)


def read_checksums(folder: Path) -> dict[str, str]:
    """The sha256 of each file that SHA256SUMS lists, empty if there is no such file; raises
    ChecksumMismatch if the list itself is damaged, or names a path outside the folder."""
    path = find_file(folder, SUMS)
    sums: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path else ():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or Path(name).name != name:
            raise ChecksumMismatch(f"{SUMS} is damaged: {line[:80]!r} is not a sum and a name.")
        if sums.setdefault(name, digest) != digest:
            raise ChecksumMismatch(f"{SUMS} is damaged: it has two sums of {name[:80]!r}.")
    return sums


def verify_checksums(
    folder: Path,
    sums: Mapping[str, str] | None = None,
    *,
    required: Collection[str] = ("*",),
    sha256: Sha256 = file_sha256,
) -> None:
    """Compares every file with its sha256 in `sums`, by default those in SHA256SUMS; a file whose
    name matches no pattern of `required` is not read. Raises ChecksumMismatch for the first one
    that is missing or differs, CheckpointError if it cannot be read."""
    for name, digest in (read_checksums(folder) if sums is None else sums).items():
        if not any(fnmatch(name, pattern) for pattern in required):
            continue
        path = find_file(folder, name)
        if path is None:
            raise ChecksumMismatch(f"{name} is missing.")
        if sha256(path) != digest:
            raise ChecksumMismatch(f"{name} does not have its sha256.")


def is_whole(
    folder: Path, sha256: Sha256 = file_sha256, required: Collection[str] = ("*",)
) -> bool:
    """Whether the folder has a SHA256SUMS and every file in it is there and unchanged."""
    try:
        verify_checksums(folder, required=required, sha256=sha256)
    except (CheckpointError, ChecksumMismatch, OSError):
        return False
    return (folder / SUMS).is_file()


def is_difference(folder: Path) -> bool:
    """Whether the folder's weights are a difference to a base file."""
    return (folder / DIFFERENCE).is_file()


def weights_of(folder: Path) -> list[Path]:
    return sorted(folder.glob(DIFFERENCE if is_difference(folder) else WEIGHTS[0]))
