"""What is kept in CACHE_DIR: folders that take long to make, and the sha256 of large files.

Folders are built once, moved into place whole, and pruned later. A folder is locked while it is
built, and by every process that uses it until that process ends. Only what nobody has locked is
removed, so nothing is taken from another running demo. Where the system has no such locks
(Windows), nothing is removed.
"""

import errno
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from demo.checkpoints.files import PrivateCheckpointError, file_sha256

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

# How many folders of a kind stay: the one in use and the one before it.
NEWEST_FOLDERS = 2
_UNFINISHED = ".unfinished-"
# Smaller files are hashed anew each time: it costs nothing.
LARGE_BYTES = 2**20
# A file that changed this recently may change again within the resolution of its mtime.
SETTLED_SECONDS = 2.0
# Open directories. A lock is held for as long as its directory is open.
_locked: dict[Path, int] = {}
_changing_locked = threading.Lock()


class CacheUnwritable(PrivateCheckpointError):
    """A folder cannot be kept; the message says where, why and what mends it."""


def use_folder(folder: Path) -> None:
    """Locks a folder until this process ends, if it is there, and records that it was used now; to
    be called before it is verified, since it may be removed in between."""
    lock = _lock(folder)
    if lock is None:
        return
    with suppress(OSError):
        os.utime(folder)
    with _changing_locked:
        # A folder that was built anew is another directory.
        former, _locked[folder] = _locked.get(folder), lock
        if former is not None:
            os.close(former)


def build_folder(
    folder: Path, build: Callable[[Path], None], is_whole: Callable[[Path], bool], room: int = 0
) -> None:
    """Has `build` write a folder, and moves it to its place, where it is in use from then on; one
    that is whole, because another process was first, stays. `room` is how many bytes it takes
    meanwhile."""
    with scratch_in_cache(folder.parent, room) as scratch:
        build(scratch / "built")
        if not is_whole(folder):
            # Looked at again just before: another process may have put a whole one there.
            if folder.exists() and not is_whole(folder):
                with suppress(FileNotFoundError):
                    os.rename(folder, scratch / "damaged")
            try:
                os.rename(scratch / "built", folder)
            except OSError:
                if not is_whole(folder):
                    raise
    use_folder(folder)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, locked meanwhile and removed afterwards. What killed processes left
    there goes first."""
    parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(parent)
    folder, lock = _make_locked(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def scratch_in_cache(parent: Path, room: int = 0) -> Iterator[Path]:
    """The same in CACHE_DIR. Raises CacheUnwritable if so many bytes are not free there, or
    something cannot be written."""
    try:
        with scratch_folder(parent) as folder:
            # A disk that is full after a minute of work could have been seen at once.
            free = shutil.disk_usage(parent).free
            if free < room:
                needed = f"{free / 1e6:,.0f} MB are free, {room / 1e6:,.0f} are needed"
                raise OSError(errno.ENOSPC, needed)
            yield folder
    except OSError as error:
        raise CacheUnwritable(
            f"What is made once could not be kept in {parent} ({error.strerror or error}). "
            "Set CACHE_DIR to a folder with 2 GB free."
        ) from error


def _make_locked(parent: Path) -> tuple[Path, int | None]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=parent))
        lock = _lock(folder)
        # Before it was locked, another process may have taken it for a leftover.
        if folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)


def prune_folders(parent: Path) -> None:
    """Removes all but the last used folders, and what a killed process left unfinished."""
    remove_unfinished(parent)
    with suppress(OSError):
        folders = [path for path in parent.iterdir() if path.is_dir() and path.name[0] != "."]
        for folder in sorted(folders, key=lambda path: -path.stat().st_mtime)[NEWEST_FOLDERS:]:
            _remove_unused(folder)


def remove_unfinished(parent: Path) -> None:
    """Removes the scratch folders of processes that were killed."""
    for folder in parent.glob(f"{_UNFINISHED}*"):
        _remove_unused(folder)


def _remove_unused(folder: Path) -> None:
    lock = _lock(folder, exclusive=True)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path, exclusive: bool = False) -> int | None:
    """An open, locked directory, or None. An exclusive lock is not waited for."""
    if fcntl is None:
        return None
    try:
        directory = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
    except OSError:
        os.close(directory)
        return None
    return directory


class Sha256Cache:
    """The sha256 of large files, remembered in `folder` as long as size, times and inode of a file
    stay the same: reading a checkpoint of a gigabyte takes a second or two of each start. If the
    folder cannot be written to, files are read each time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sums.json"
        self._sums: dict[str, list[int | str]] = {}
        with suppress(OSError, ValueError):
            sums = json.loads(self._path.read_text(encoding="utf-8"))
            self._sums = sums if isinstance(sums, dict) else {}

    def sha256(self, path: Path) -> str:
        stat = path.stat()
        if stat.st_size < LARGE_BYTES:
            return file_sha256(path)
        key = str(path.resolve())
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._sums.get(key)
        if isinstance(known, list) and known[:-1] == state:
            return str(known[-1])
        digest = file_sha256(path)
        if time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED_SECONDS:
            self._sums[key] = [*state, digest]
            self._write()
        return digest

    def _write(self) -> None:
        # Whole or not at all: two starts may write at once.
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(self._sums), encoding="utf-8")
            os.replace(new, self._path)
        except OSError:
            with suppress(OSError):
                new.unlink(missing_ok=True)
