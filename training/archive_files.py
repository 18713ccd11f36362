"""From an address to text: fetched, hashed, decompressed, decoded; never whole in memory.

Knows compression, zips and encodings, all by content; must not know what the text says.
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
from pathlib import Path
from typing import IO, Any, BinaryIO

import fsspec

from training.errors import TrainingError

Progress = Callable[[int, int | None], None]
_READ_BYTES = 1 << 20
# X's own export: tweets.js (once tweet.js) and, where it grew large, tweets-part1.js and on.
_EXPORT_PART = re.compile(r"(?:.*/)?tweets?(?:-part(\d+))?\.js")
# A zip's one text, looked for in this order; READMEs in .txt often lie beside the table.
_TEXT_SUFFIXES = ((".csv", ".json"), (".txt",))


@contextmanager
def fetched(source: str, progress: Progress) -> Iterator[tuple[BinaryIO, str]]:
    """The file's bytes to seek in, and their sha256; what came from afar lies on the disk.

    Raises:
        TrainingError: there is no such file, or it could not be read.
    """
    with tempfile.TemporaryFile() as copy:
        try:
            if "://" in source:
                with fsspec.open(source, "rb") as remote:
                    sha256 = _hashed(remote, getattr(remote, "size", None), progress, copy)
                file: BinaryIO = copy
            else:
                file = _local(source)
                sha256 = _hashed(file, Path(source).stat().st_size, progress)
        except FileNotFoundError as error:
            # Also raised where an address does not answer; only then has it a cause.
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


def _local(source: str) -> BinaryIO:
    if not Path(source).is_file():
        raise FileNotFoundError
    return Path(source).open("rb")


def _hashed(
    file: BinaryIO, total: int | None, progress: Progress, copy: IO[bytes] | None = None
) -> str:
    sha256 = hashlib.sha256()
    while piece := file.read(_READ_BYTES):
        sha256.update(piece)
        if copy:
            copy.write(piece)
        progress(len(piece), total)
    return sha256.hexdigest()


@contextmanager
def damage_named(source: str) -> Iterator[None]:
    """Turns what decompression raises, whenever it does, into a TrainingError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise TrainingError(f"{source} is damaged or cut short: {error}.") from error


def texts(file: BinaryIO, source: str) -> Iterator[tuple[str, io.TextIOWrapper]]:
    """The text files in it, each with what to call it in an error; read one before the next.

    Raises:
        TrainingError: a zip without an archive, or with several.
    """
    start = file.read(2)
    file.seek(0)
    if start == b"\x1f\x8b":
        yield source, _decoded(gzip.GzipFile(fileobj=file))
    elif start == b"PK":
        yield from _unzipped(file, source)
    else:
        yield source, _decoded(file)


def _unzipped(file: BinaryIO, source: str) -> Iterator[tuple[str, io.TextIOWrapper]]:
    with zipfile.ZipFile(file) as bundle:
        parts = _export_parts(bundle.namelist())
        for name in parts or [_only_text(bundle.namelist(), source)]:
            with _member(bundle, name, source) as member:
                yield f"{source}, {name}" if parts else source, _decoded(member)


def _member(bundle: zipfile.ZipFile, name: str, source: str) -> IO[bytes]:
    try:
        return bundle.open(name)
    except (NotImplementedError, RuntimeError) as error:
        # How zipfile refuses an unknown compression, and what a password locks.
        raise TrainingError(f"{source} could not be unpacked: {error}.") from error


def _export_parts(names: list[str]) -> list[str]:
    """By their numbers: part10 comes after part9."""
    numbered = [(int(m[1] or 0), name) for name in names if (m := _EXPORT_PART.fullmatch(name))]
    return [name for _, name in sorted(numbered)]


def _only_text(names: list[str], source: str) -> str:
    found: list[str] = []
    for suffixes in _TEXT_SUFFIXES:
        found = found or [name for name in names if name.lower().endswith(suffixes)]
    if len(found) != 1:
        raise TrainingError(
            f"{source} must hold one .csv, .json or .txt file, or the tweets.js of an X export; "
            f"it holds {len(found)}."
        )
    return found[0]


def _decoded(binary: IO[bytes] | gzip.GzipFile) -> io.TextIOWrapper:
    """Line breaks stay as they are: a tweet may hold any of them."""
    return io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")


def not_utf8(text: io.TextIOWrapper, place: str) -> TrainingError:
    """The error that names the line and the byte at which decoding stopped."""
    number, byte = next(_undecodable(text.buffer))
    return TrainingError(f"{place} is not UTF-8: line {number:,} has the byte 0x{byte:02x}.")


def _undecodable(binary: Any) -> Iterator[tuple[int, int]]:
    """Line and byte; a decoder that reads piece by piece does not know the line."""
    binary.seek(0)
    for number, line in enumerate(binary, 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            yield number, line[error.start]
