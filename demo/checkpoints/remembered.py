"""The sha256 of large files, remembered while the files stay as they were.

Knows paths, sizes and times of change; must not know what the files mean. Reading a checkpoint
of a gigabyte through takes a second of each start; whoever writes to a file changes its time.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from demo.checkpoints.files import file_sha256

FILE = "sums.json"
# Smaller files are read again: that costs nothing.
LARGE_BYTES = 2**20
# A file that changed this recently may change again without its time of change telling.
SETTLED_SECONDS = 2.0

Mark = list[int | str]


class RememberedSums:
    """Sums of files, kept in a folder across starts; a folder that cannot be written to only
    means that files are read through again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._known = self._read()

    def sha256(self, path: Path) -> str:
        """The file's sha256 in hexadecimal digits: read through, unless nothing of it changed
        since it was.

        Raises:
            OSError: it cannot be read.
        """
        stat = path.stat()
        if stat.st_size < LARGE_BYTES:
            return file_sha256(path)
        key = str(path.resolve())
        mark: Mark = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(key)
        if isinstance(known, list) and known[:-1] == mark:
            return str(known[-1])
        found = file_sha256(path)
        changed_at = max(stat.st_mtime, stat.st_ctime)
        if time.time() - changed_at > SETTLED_SECONDS:
            self._known[key] = [*mark, found]
            self._write()
        return found

    def _read(self) -> dict[str, Mark]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self) -> None:
        """Whole or not at all: two starts may write at once."""
        new = self._path.with_name(f"{FILE}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(self._known), encoding="utf-8")
            os.replace(new, self._path)
        except OSError:
            with suppress(OSError):
                new.unlink(missing_ok=True)
