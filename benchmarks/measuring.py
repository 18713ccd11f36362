"""What every benchmark shares: the machine, the load of other programs, and the written table."""

import math
import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
ResultsOption = Annotated[Path, typer.Option(help="where the table is written")]
NOTHING = "–"
# The instructions by which int8 and bfloat16 are multiplied quickly.
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
BANDWIDTH_BYTES = 2**31
BANDWIDTH_PASSES = 7


class OutsideLoad:
    """Measures how busy other programs keep the CPU, from now on.

    Everything but this process and the processes it starts counts, and so does the time that the
    host of a virtual machine takes away.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._before = _others_seconds()

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def cores(self) -> float:
        return max(0.0, (_others_seconds() - self._before) / self.seconds())


def _others_seconds() -> float:
    """CPU seconds of other programs since the machine started."""
    all_cores = psutil.cpu_times()
    # `user` and `nice` contain the time of guests.
    busy = all_cores.user + all_cores.nice + all_cores.system
    busy += all_cores.irq + all_cores.softirq + all_cores.steal
    own = 0.0
    for process in _process_tree(os.getpid()):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            own += times.user + times.system + times.children_user + times.children_system
    return float(busy - own)


def _process_tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def pss_mib(pid: int) -> float:
    """Memory in MiB of a process and all it started; a shared page counts in part (PSS)."""
    total = 0
    for process in _process_tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 2**20


def measure_bandwidth() -> tuple[float, float]:
    """Bytes a second of an array that no cache holds, by one thread and by one for each core."""
    array = np.ones(BANDWIDTH_BYTES // 8, np.int64)

    def speed(threads: int) -> float:
        # numpy releases the interpreter's lock while it sums.
        parts, best = np.array_split(array, threads), 0.0
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(BANDWIDTH_PASSES):
                started = time.perf_counter()
                list(pool.map(np.sum, parts))
                best = max(best, array.nbytes / (time.perf_counter() - started))
        return best

    return speed(1), speed(os.cpu_count() or 1)


def describe_cpu() -> str:
    """The number of its cores and its name."""
    return f"{os.cpu_count()} cores of {_cpu_fact('model name') or platform.machine()}"


def _cpu_fact(name: str) -> str:
    """What Linux says of the first core under this name; empty if nothing."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def describe_machine() -> str:
    """The CPU, its cores and instructions, the memory and the system, in one sentence."""
    gigabytes = psutil.virtual_memory().total / 2**30
    has = _cpu_fact("flags").split()
    flags = ", ".join(flag for flag in CPU_FLAGS if flag in has) or "no vector instructions"
    return (
        f"{describe_cpu()} ({flags}), {gigabytes:.1f} GiB of memory, Linux {platform.release()}, "
        f"Python {platform.python_version()}."
    )


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def describe_run(verb: str, outside_cores: float | None = None) -> str:
    """Which command measured, when, on which machine, and how busy other programs kept it."""
    text = f"Written by `python -m benchmarks {verb}` on {today()}. {describe_machine()}"
    if outside_cores is None:
        return text
    return f"{text} Others kept {outside_cores:.2f} cores busy."


def write_page(path: Path | None, parts: Iterable[str]) -> None:
    """Prints a page of Markdown and, unless the path is None, writes it there."""
    page = "\n\n".join(part for part in parts if part) + "\n"
    print(page)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; short rows are filled with empty cells."""
    full = [(*row, *[""] * (len(header) - len(row))) for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in (header, *full)]
    return "\n".join((lines[0], "|---" * len(header) + "|", *lines[1:]))


def spread(values: Sequence[float]) -> str:
    """The median, and in brackets the lowest and the highest value."""
    middle = number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))} to {number(max(values))})"


def number(value: float) -> str:
    """Three significant digits, but at most three decimals."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 3)}f}"
