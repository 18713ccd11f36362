"""Reads an archive of tweets from a path, https:// or hf://: fetched, hashed, decompressed, decoded
and validated.

Compression and encoding are told by content, and no file is ever whole in memory.
"""

import gzip
import hashlib
import io
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

import fsspec

from training import TrainingError
from training.archive_formats import BadRow, Row, read_rows

# Takes the bytes just read, and the total if it is known.
Progress = Callable[[int, int | None], None]
# Above this share of bad rows a file counts as the wrong file, not as a file with bad rows.
MAX_BAD_SHARE = 0.01
_READ_BYTES = 1 << 20
# X's own export: tweets.js (once tweet.js); large ones are split into tweets-part1.js and so on.
_EXPORT_PART = re.compile(r"(?:.*/)?tweets?(?:-part(\d+))?\.js")


@dataclass
class Archive:
    """What was read: valid `rows`, `bad` ones, and the sha256 of the input's bytes."""

    name: str
    sha256: str
    rows: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


def read_archive(source: str, progress: Progress) -> Archive:
    """Reads and validates every row.

    Args:
        source: a local path, or an `https://` or `hf://` address.

    Raises:
        TrainingError: unreadable, wrongly encoded or compressed, not an archive, empty, or
            over 1 % of the rows bad; it names the row and the column if there is one.
    """
    with _fetch(source, progress) as (file, sha256):
        archive = Archive(source.rstrip("/").rsplit("/", 1)[-1], sha256)
        try:
            for name, text in _open_texts(file, source):
                try:
                    for row in read_rows(text, name):
                        if isinstance(row, Row):
                            archive.rows.append(row)
                        else:
                            archive.bad.append(row)
                except UnicodeDecodeError:
                    line, byte = next(_find_undecodable(text.buffer))
                    raise TrainingError(
                        f"{name} is not UTF-8: line {line:,} has the byte 0x{byte:02x}."
                    ) from None
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise TrainingError(f"{source} is damaged or cut short: {error}.") from error
    total = len(archive.rows) + len(archive.bad)
    if total == 0:
        raise TrainingError(f"{source} holds no rows.")
    if len(archive.bad) > MAX_BAD_SHARE * total:
        raise TrainingError(
            f"{source}: {len(archive.bad):,} of {total:,} rows are bad, over the "
            f"{MAX_BAD_SHARE:.0%} that is let pass; the first is {archive.bad[0]}."
        )
    return archive


@contextmanager
def _fetch(source: str, progress: Progress) -> Iterator[tuple[BinaryIO, str]]:
    """The file, which can be seeked in, and its sha256. A remote file is copied to disk first.
    Raises TrainingError if there is no such file, or it could not be read."""
    with tempfile.TemporaryFile() as copy:
        try:
            if "://" in source:
                with fsspec.open(source, "rb") as remote:
                    sha256 = _hash(remote, getattr(remote, "size", None), progress, copy)
                file: BinaryIO = copy
            else:
                file = _open_local(source)
                sha256 = _hash(file, Path(source).stat().st_size, progress)
        except FileNotFoundError as error:
            # Also raised if an address does not answer; only then it has a cause.
            reason = f" ({error.__cause__})" if error.__cause__ else ""
            raise TrainingError(f"There is no archive at {source}{reason}.") from error
        except Exception as error:
            # fsspec raises its backends' own types (aiohttp's, the Hub's); all mean the same here.
            raise TrainingError(
                f"{source} could not be read: {error or type(error).__name__}."
            ) from error
        with file:
            file.seek(0)
            yield file, sha256


def _open_local(source: str) -> BinaryIO:
    if not Path(source).is_file():
        raise FileNotFoundError
    return Path(source).open("rb")


def _hash(
    file: BinaryIO, total: int | None, progress: Progress, copy: IO[bytes] | None = None
) -> str:
    sha256 = hashlib.sha256()
    while chunk := file.read(_READ_BYTES):
        sha256.update(chunk)
        if copy:
            copy.write(chunk)
        progress(len(chunk), total)
    return sha256.hexdigest()


def _open_texts(file: BinaryIO, source: str) -> Iterator[tuple[str, io.TextIOWrapper]]:
    """The text files in it, each with its name for errors. Each is closed once the next is read.
    Raises TrainingError if a zip holds no archive, or several."""
    start = file.read(2)
    file.seek(0)
    if start == b"\x1f\x8b":
        yield source, _decode(gzip.GzipFile(fileobj=file))
    elif start == b"PK":
        yield from _unzip(file, source)
    else:
        yield source, _decode(file)


def _unzip(file: BinaryIO, source: str) -> Iterator[tuple[str, io.TextIOWrapper]]:
    with zipfile.ZipFile(file) as bundle:
        names = bundle.namelist()
        parts = [(int(m[1] or 0), name) for name in names if (m := _EXPORT_PART.fullmatch(name))]
        # By number: part10 comes after part9.
        for name in [name for _, name in sorted(parts)] or [_only_text(names, source)]:
            try:
                member = bundle.open(name)
            except (NotImplementedError, RuntimeError) as error:
                # An unknown compression, or a password.
                raise TrainingError(f"{source} could not be unpacked: {error}.") from error
            with member:
                yield f"{source}, {name}" if parts else source, _decode(member)


def _only_text(names: list[str], source: str) -> str:
    tables = [name for name in names if name.lower().endswith((".csv", ".json"))]
    # Only without a table: a README in .txt often lies beside one.
    found = tables or [name for name in names if name.lower().endswith(".txt")]
    if len(found) != 1:
        raise TrainingError(
            f"{source} must hold one .csv, .json or .txt file, or the tweets.js of an X export; "
            f"it holds {len(found)}."
        )
    return found[0]


def _decode(binary: IO[bytes] | gzip.GzipFile) -> io.TextIOWrapper:
    """Line breaks stay as they are: a tweet may contain any of them."""
    return io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")


def _find_undecodable(binary: Any) -> Iterator[tuple[int, int]]:
    """Line and byte of what is not UTF-8; a decoder that reads in chunks does not know the line."""
    binary.seek(0)
    for number, line in enumerate(binary, 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            yield number, line[error.start]
