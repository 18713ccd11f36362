"""What an archive is made of: packed files and folders become named files, told by their content.

Whatever is unpacked is bounded, so that a small file cannot fill memory, disk or an afternoon.
"""

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import pyarrow as pa

from training import TrainingError

# Tweets pack to a tenth or a twentieth. What unpacks to more than both of these is no archive.
MAX_RATIO = 200
FREE_BYTES = 16 << 20
# csv.gz in a zip is two.
MAX_LAYERS = 4
MAX_FILES = 200_000
HEAD_BYTES = 1 << 16

_ZIP = b"PK"
_TAR = (257, b"ustar")
_PACKERS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": lambda file: pa.CompressedInputStream(file, "zstd"),
}
# What they raise for a file that is damaged or cut short.
DAMAGED = (
    EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError
)  # fmt: skip
_PACKED_SUFFIXES = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".tar")
# What macOS and file managers leave behind.
_IGNORED_FOLDERS = ("__MACOSX",)


@dataclass(frozen=True)
class File:
    """One file of an archive; `open` reads it from its start, again each time. `size` is what it
    takes on disk, packed as it is; `within` is the file or folder that holds it, for errors."""

    name: str
    size: int
    open: Callable[[], BinaryIO]
    within: str = ""

    def __str__(self) -> str:
        return f"{self.within}, {self.name}" if self.within else self.name

    def head(self) -> bytes:
        """Its first bytes, at most `HEAD_BYTES`."""
        with self.open() as stream:
            return stream.read(HEAD_BYTES)


@contextmanager
def unpacked(file: File) -> Iterator[list[File]]:
    """The files that are packed in this one, or the file itself. Raises TrainingError if they are
    locked, nested too deep, or of a kind that is not read."""
    with ExitStack() as opened:
        yield _unpack(file, opened, MAX_LAYERS)


def files_of(folder: Path) -> list[File]:
    """Every file below the folder. Links to folders are not followed."""
    found: list[File] = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file():
                found.append(file_at(path, path.relative_to(folder).as_posix(), str(folder)))
        if len(found) > MAX_FILES:
            raise TrainingError(
                f"{folder} holds more than {MAX_FILES:,} files. Name the one with the tweets."
            )
    return _visible(found)


def file_at(path: Path, name: str, within: str = "") -> File:
    """The file at a path, under the name that errors and the report give it."""
    return File(name, path.stat().st_size, lambda: path.open("rb"), within)


def _unpack(file: File, opened: ExitStack, layers: int) -> list[File]:
    head = file.head()
    if not layers:
        raise TrainingError(f"{file} is packed more than {MAX_LAYERS - 1} times. Unpack it.")
    for magic, unpacker in _PACKERS.items():
        if head.startswith(magic):
            return _unpack(_decompressed(file, unpacker), opened, layers - 1)
    offset, magic = _TAR
    if head[offset:].startswith(magic):
        return _visible(_members_of_tar(file, opened))
    if head.startswith(_ZIP):
        return _visible(_members_of_zip(file, opened))
    return [file]


def _decompressed(file: File, unpacker: Callable[[BinaryIO], Any]) -> File:
    name = file.name
    if name.lower().endswith(".tgz"):
        name = f"{name[:-4]}.tar"
    elif name.lower().endswith(_PACKED_SUFFIXES):
        name = name.rpartition(".")[0]

    def unpack() -> BinaryIO:
        packed = file.open()
        return _bounded(unpacker(packed), file, packed)

    return File(name, file.size, unpack, file.within)


def _members_of_zip(file: File, opened: ExitStack) -> list[File]:
    bundle = opened.enter_context(zipfile.ZipFile(_seekable(file, opened)))
    infos = [info for info in bundle.infolist() if not info.is_dir()]
    if any(info.filename == "[Content_Types].xml" for info in infos):
        raise TrainingError(
            f"{file} is a document of Excel or its like. Save the table as CSV (UTF-8)."
        )

    def member(info: zipfile.ZipInfo) -> File:
        def unpack() -> BinaryIO:
            try:
                return _bounded(bundle.open(info), found)
            except (NotImplementedError, RuntimeError) as error:
                # An unknown compression, or a password.
                raise TrainingError(f"{file} could not be unpacked: {error}.") from error

        found = File(info.filename, info.compress_size, unpack, str(file))
        return found

    return [member(info) for info in infos]


def _members_of_tar(file: File, opened: ExitStack) -> list[File]:
    bundle = opened.enter_context(tarfile.TarFile(fileobj=_seekable(file, opened)))
    # A sparse file may claim any size. The others are as large as the tar, which was bounded.
    infos = [info for info in bundle if info.isfile() and not info.issparse()]
    return [
        File(info.name, info.size, partial(_extract, bundle, info), str(file)) for info in infos
    ]


def _extract(bundle: tarfile.TarFile, info: tarfile.TarInfo) -> BinaryIO:
    return cast(BinaryIO, bundle.extractfile(info))


def _visible(files: list[File]) -> list[File]:
    def is_hidden(file: File) -> bool:
        parts = PurePosixPath(file.name).parts
        return parts[0] in _IGNORED_FOLDERS or parts[-1].startswith(".")

    return [file for file in files if not is_hidden(file)]


def _seekable(file: File, opened: ExitStack) -> BinaryIO:
    """The file as it is if it lies on disk; what is unpacked is copied there."""
    stream = opened.enter_context(file.open())
    if isinstance(stream, io.BufferedReader) and not isinstance(stream.raw, _Bounded):
        return stream
    copy = cast(BinaryIO, opened.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115
    shutil.copyfileobj(stream, copy)
    copy.seek(0)
    return copy


def _bounded(stream: Any, file: File, *under: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Bounded(stream, file, under), HEAD_BYTES))


class _Bounded(io.RawIOBase):
    """Reads what is unpacked of a file. Raises TrainingError once that is far more than it was
    packed."""

    def __init__(self, stream: Any, file: File, under: Sequence[BinaryIO]) -> None:
        """`under` is what the stream reads from, closed with it."""
        self._stream, self._file, self._under, self._unpacked = stream, file, under, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._unpacked += len(data)
        if self._unpacked > max(FREE_BYTES, MAX_RATIO * self._file.size):
            raise TrainingError(
                f"{self._file} unpacks to more than {MAX_RATIO} times its "
                f"{self._file.size:,} bytes: no archive of tweets does."
            )
        return len(data)

    def close(self) -> None:
        if not self.closed:
            for stream in (self._stream, *self._under):
                stream.close()
        super().close()
