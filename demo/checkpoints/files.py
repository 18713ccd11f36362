"""SHA256SUMS: what a checkpoint folder should hold, byte for byte.

Knows files and hashes, in the format of `sha256sum`; must not know what the files mean.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

SUMS = "SHA256SUMS"


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
    """The sha256 of each file that SHA256SUMS lists; nothing where there is no such list.

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


def verify_checksums(folder: Path, sha256: Callable[[Path], str] = file_sha256) -> None:
    """Compares every file that SHA256SUMS lists.

    Raises:
        ChecksumMismatch: for the first file that is missing or differs.
    """
    for name, digest in read_checksums(folder).items():
        path = folder / name
        if not path.is_file():
            raise ChecksumMismatch(f"{name} is missing.")
        if sha256(path) != digest:
            raise ChecksumMismatch(f"{name} is damaged: its sha256 is not the one in {SUMS}.")
