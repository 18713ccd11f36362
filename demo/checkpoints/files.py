"""The files of a checkpoint: their names by role, their checksums, and which are refused."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

SUMS = "SHA256SUMS"
# The weights of the embedded checkpoint, as their difference to the base file in `base.json`.
DIFFERENCE = "difference.safetensors"
BASE = "base.json"
METRICS = "metrics.json"
GENERATION_CONFIG = "generation_config.json"
PERSONA = "persona.json"
# Bits per byte on dev during training, as a picture.
PLOT = "curve.png"
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
# What defines a model besides its weights.
DEFINING = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
# Small files that the page is built from, read before the weights are fetched.
EARLY = (PERSONA, GENERATION_CONFIG)
# What a running demo reads, as patterns; nothing pickled, no code.
NEEDED = (
    *DEFINING,
    *EARLY,
    "*.safetensors",
    "*.safetensors.index.json",
    BASE,
    METRICS,
    PLOT,
    "originals.*",
    "detector.*",
    SUMS,
)
IGNORED = ("*/*", "*.bin", "*.pt", "*.pth", "*.pkl", "*.py")
# The one subfolder that is read: an OpenVINO export that a checkpoint may ship.
EXPORT_SUBFOLDER = "openvino"
NEEDED_OF_EXPORT = (
    "openvino_model.xml",
    "openvino_model.bin",
    "export.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    SUMS,
)


Sha256 = Callable[[Path], str]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message is for the owner and says what to do."""


class PrivateCheckpointError(CheckpointError):
    """The same, with a message that may name paths of this machine: not shown to visitors."""


class ChecksumMismatch(ValueError):
    """A file is missing or not what was written; the message names it."""


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Writes SHA256SUMS over every other file directly in the folder, whole or not at all."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in names]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        written = Path(scratch) / SUMS
        written.write_text("".join(lines), encoding="utf-8")
        os.replace(written, folder / SUMS)


def read_checksums(folder: Path) -> dict[str, str]:
    """The sha256 of each file that SHA256SUMS lists; empty if there is no such file.

    Raises:
        ChecksumMismatch: the list itself is damaged, or names a path outside the folder.
    """
    path = folder / SUMS
    if not path.is_file():
        return {}
    sums = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or Path(name).name != name:
            raise ChecksumMismatch(f"{SUMS} is damaged: {line[:80]!r} is not a sum and a name.")
        sums[name] = digest
    return sums


def verify_checksums(
    folder: Path,
    sums: Mapping[str, str] | None = None,
    *,
    required: Sequence[str] = ("*",),
    sha256: Sha256 = file_sha256,
) -> None:
    """Compares every file with its sha256 in `sums`, by default those in SHA256SUMS.

    Args:
        sha256: how a file is hashed.
        required: patterns of names; a listed file that matches none of them may be missing.

    Raises:
        ChecksumMismatch: for the first file that is missing or differs.
    """
    for name, digest in (read_checksums(folder) if sums is None else sums).items():
        path = folder / name
        if not path.is_file():
            if any(fnmatch(name, pattern) for pattern in required):
                raise ChecksumMismatch(f"{name} is missing.")
        elif sha256(path) != digest:
            raise ChecksumMismatch(f"{name} does not have its sha256.")


def is_whole(folder: Path, sha256: Sha256 = file_sha256) -> bool:
    """Whether the folder has a SHA256SUMS and every file in it is there and unchanged."""
    try:
        verify_checksums(folder, sha256=sha256)
    except (ChecksumMismatch, OSError):
        return False
    return (folder / SUMS).is_file()


def is_difference(folder: Path) -> bool:
    """Whether the folder's weights are a difference to a base file."""
    return (folder / DIFFERENCE).is_file()


def weights_of(folder: Path) -> list[Path]:
    """The files that hold weights, sorted."""
    return sorted(folder.glob(DIFFERENCE if is_difference(folder) else WEIGHTS[0]))


def require_ordinary(folder: Path, name: str) -> None:
    """Raises CheckpointError unless the folder has weights in safetensors and no code."""
    for settings in ("config.json", "tokenizer_config.json"):
        if "auto_map" in _read_json(folder, settings):
            raise CheckpointError(
                f"{name} brings code of its own (auto_map in {settings}), which is never run: "
                "take a checkpoint of an architecture that transformers has."
            )
    if not weights_of(folder):
        raise CheckpointError(
            f"{name} has no weights in safetensors, and pickled ones are never loaded: "
            "convert them with `save_pretrained`."
        )
    if (folder / WEIGHTS[1]).is_file():
        for shard in set(_read_json(folder, WEIGHTS[1]).get("weight_map", {}).values()):
            require_file(folder, shard)


def require_file(folder: Path, name: str) -> None:
    """Raises CheckpointError if the folder has no such file."""
    if not (folder / name).is_file():
        # The folder's name alone: a notice is shown to visitors.
        raise CheckpointError(f"The checkpoint {folder.name} has no {name}.")


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    require_file(folder, name)
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{name} of {folder.name} is not JSON.") from error
    return value if isinstance(value, dict) else {}
