"""The machine under a benchmark: what it is, how busy others keep it, what its memory gives.

Knows Linux's /proc; must not know what is measured.
"""

import os
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
BANDWIDTH_BYTES = 2**31
BANDWIDTH_PASSES = 7
BANDWIDTH_METHOD = "numpy's sum of 2 GiB of int64, best of 7"


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second that are read from memory by one thread, and by one for each core."""

    one_thread: float
    every_core: float

    @property
    def best(self) -> float:
        """The larger of the two: a second thread may add nothing."""
        return max(self.one_thread, self.every_core)


class OutsideLoad:
    """What others make the CPU do, from now on: all of its work but this process's and that of
    the processes it starts. Time that the host takes away counts as others' too."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._before = _others_seconds()

    def seconds(self) -> float:
        """How long this has been watched."""
        return time.monotonic() - self._start

    def cores(self) -> float:
        """How many cores others kept busy, on average."""
        return max(0.0, (_others_seconds() - self._before) / self.seconds())


def describe_machine() -> str:
    """The CPU, its cores, the memory, the system, in a sentence."""
    gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} cores of {_cpu_name()}, {gigabytes:.1f} GiB of memory, "
        f"Linux {platform.release()}, Python {platform.python_version()}."
    )


def pss_mib(pid: int) -> float:
    """The memory of a process and of all it has started, in MiB; a page that several share
    counts in part for each (PSS)."""
    return sum(_pss_kib(one) for one in _tree(pid)) / 1024


def measure_bandwidth() -> Bandwidth:
    """Reads an array that no cache holds, with one thread and with one for each core."""
    array = np.ones(BANDWIDTH_BYTES // np.dtype(np.int64).itemsize, np.int64)
    every_core = os.cpu_count() or 1
    return Bandwidth(*(_read_speed(array, threads) for threads in (1, every_core)))


def _read_speed(array: np.ndarray[tuple[int], np.dtype[np.int64]], threads: int) -> float:
    """numpy gives up the interpreter's lock while it sums."""
    parts = np.array_split(array, threads)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(BANDWIDTH_PASSES):
            started = time.perf_counter()
            list(pool.map(np.sum, parts))
            best = max(best, array.nbytes / (time.perf_counter() - started))
    return best


def _others_seconds() -> float:
    return _busy_seconds() - sum(_own_seconds(pid) for pid in _tree(os.getpid()))


def _busy_seconds() -> float:
    """Of all cores since the machine started; neither idle nor waiting for a disk."""
    first, *_ = (PROC / "stat").read_text(encoding="ascii").splitlines()
    # user nice system idle iowait irq softirq steal; what follows is part of user and nice.
    ticks = [int(value) for value in first.split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS_PER_SECOND


def _own_seconds(pid: int) -> float:
    """Of a process, and of those of its children that have ended."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND if fields else 0.0


def _tree(pid: int) -> Iterator[int]:
    """The process and all that descend from it."""
    parents = {one: int(fields[1]) for one in _pids() if (fields := _stat(one))}
    found = [pid]
    for one in found:
        yield one
        found += [child for child, parent in parents.items() if parent == one]


def _pids() -> Iterator[int]:
    return (int(path.name) for path in PROC.iterdir() if path.name.isdigit())


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may hold spaces; empty if the process is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _pss_kib(pid: int) -> int:
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = (line.split() for line in text.splitlines())
    return next((int(words[1]) for words in lines if words[0] == "Pss:"), 0)


def _cpu_name() -> str:
    lines = (PROC / "cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
