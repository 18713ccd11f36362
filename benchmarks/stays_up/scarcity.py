"""A machine that lacks something: disk, a home to write to, its clock, cores, memory.

Mounts are made in a namespace of the app's own, and limits are its own: this machine keeps what it
has. The demo serves, or says in one line why not.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.servers import APP, READY_SECONDS, free_address, running, started, wait_for
from benchmarks.stays_up import calls
from benchmarks.stays_up.app import LIMITS, App
from benchmarks.trials import NotHere, Row
from demo.checkpoints.embedded import SMOLLM2_135M_INSTRUCT, locate_base
from demo.settings import read_settings

BAR = "serves, or ends with one line that says why not"
SERVES = "serves"
# A namespace in which any user may mount.
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
GIBIBYTE = 2**30
DAY_SECONDS = 86_400
CLOCK = Path(__file__).with_name("clock.c")
CGROUPS = Path("/sys/fs/cgroup/memory")


def disk(app: App) -> Iterator[Row]:
    """The cache's disk full at the first start; the disk of temporary files full."""
    with tempfile.TemporaryDirectory() as folder:
        full = f"mount -t tmpfs -o size=20m tmpfs {folder}"
        variables = {"CACHE_DIR": folder, "BASE_FILE": str(_base_file())}
        yield _tried("a cache on a disk with 20 MB", _mounted(full), variables)
        fill = f"(cat /dev/zero > {folder}/zeros 2> /dev/null; true)"
        full = f"mount -t tmpfs -o size=64k tmpfs {folder} && {fill}"
        variables = {"TMPDIR": folder, "GRADIO_TEMP_DIR": folder, "CACHE_DIR": _cache(app)}
        yield _tried("temporary files on a full disk", _mounted(full), variables, SERVES)


def home(app: App) -> Iterator[Row]:
    """Read-only, with what an earlier start has cached, and without."""
    with tempfile.TemporaryDirectory() as folder:
        cache = _cache(app)
        locked = " && ".join(
            f"mount --bind {path} {path} && mount -o remount,bind,ro {path}"
            for path in (folder, cache)
        )
        variables = {"HOME": folder, "CACHE_DIR": cache}
        yield _tried("a read-only home, a warm cache", _mounted(locked), variables, SERVES)
        variables = {"HOME": folder, "CACHE_DIR": f"{folder}/cache", "BASE_FILE": str(_base_file())}
        yield _tried("a read-only home, nothing cached", _mounted(locked), variables)


def clock(_: App) -> Iterator[Row]:
    """The wall clock jumps by a day, there and back, under a running app."""
    with tempfile.TemporaryDirectory() as folder:
        library, setting = Path(folder) / "clock.so", Path(folder) / "offset"
        command = [_tool("cc"), "-shared", "-fPIC", "-o", str(library), str(CLOCK)]
        subprocess.run(command, check=True)
        setting.write_bytes(bytes(8))
        variables = {**LIMITS, "LD_PRELOAD": str(library), "CLOCK_OFFSET": str(setting)}
        with started(variables=variables) as server:
            for offset in (0, DAY_SECONDS, -DAY_SECONDS):
                with setting.open("r+b") as file:
                    file.write(offset.to_bytes(8, sys.byteorder, signed=True))
                before = server.said()
                seen = calls.visits(server.url, 3)
                # The log's own lines show what the app takes for the time.
                day = (datetime.now() + timedelta(seconds=offset)).strftime("%Y-%m-%d")
                is_moved = day in server.said().removeprefix(before)
                yield Row(
                    f"the clock {offset // 3_600:+d} h from where it was",
                    f"{calls.told(one.kind for one in seen)}; /readyz says {server.state()}; the "
                    f"log {'has' if is_moved else 'lacks'} that day",
                    "a text for everybody, ready",
                    {one.kind for one in seen} == {"text"}
                    and server.state() == "ready"
                    and is_moved,
                )


def one_cpu(app: App) -> Iterator[Row]:
    """One core for everything."""
    core = str(min(os.sched_getaffinity(0)))
    within = (_tool("taskset"), "-c", core)
    yield _tried("one CPU", within, {"CACHE_DIR": _cache(app)}, SERVES)


def memory(app: App) -> Iterator[Row]:
    """1 GB of address space for each process; 1 GB for both, as a container has it."""
    for bytes in (10**9 + 10**7, GIBIBYTE, 11 * 10**8):
        limited = ("sh", "-c", f'ulimit -v {bytes // 1024}; exec "$@"', "sh")
        what = f"{bytes / 1e9:.2f} GB of address space for each process"
        yield _tried(what, limited, {"CACHE_DIR": _cache(app)})
    what = "1 GiB of memory for both processes together"
    try:
        with _memory_group(GIBIBYTE) as within:
            yield _tried(what, within, {"CACHE_DIR": _cache(app)}, SERVES)
    except NotHere as reason:
        yield Row(what, str(reason), SERVES, None)


def _tried(what: str, within: Sequence[str], variables: Mapping[str, str], bar: str = BAR) -> Row:
    """What becomes of a start. Paths of this machine are left out of what it says."""
    with running(APP, free_address(), {**LIMITS, **variables}, within) as server:
        process = server.process
        if not wait_for(lambda: process.poll() is not None or server.is_ready(), READY_SECONDS):
            return Row(what, f"neither ready nor ended in {READY_SECONDS:g} s", bar, False)
        if process.poll() is None:
            (seen,) = calls.visits(server.url, 1)
            ready = f"ready; one visitor got a {seen.kind}, first word {seen.first:.2f} s"
            return Row(what, ready, bar, seen.kind == "text")
        code, said = process.returncode, server.said()
    *_, sentence = said.strip().splitlines() or ("nothing",)
    paths = [value for value in variables.values() if value.startswith("/")]
    for path in sorted((*paths, os.path.expanduser("~")), key=len, reverse=True):
        sentence = sentence.replace(path, "…")
    is_said = code == 1 and "Traceback" not in said and sentence.endswith(".")
    return Row(what, f"exit {code}: {sentence[:300]}", bar, is_said and bar == BAR)


def _tool(name: str) -> str:
    path = shutil.which(name)
    if not path:
        raise NotHere(f"there is no {name}")
    return path


def _mounted(command: str) -> Sequence[str]:
    """Runs a command after this one has mounted something.

    Raises:
        NotHere: nothing can be mounted.
    """
    _tool("unshare")
    trial = subprocess.run([*NAMESPACE, "sh", "-c", command], capture_output=True, check=False)
    if trial.returncode:
        raise NotHere(f"nothing can be mounted: {trial.stderr.decode().strip()[:100]}")
    return (*NAMESPACE, "sh", "-c", f'{command} && exec "$@"', "sh")


@contextmanager
def _memory_group(size: int) -> Iterator[Sequence[str]]:
    """A group of processes that have so much together.

    Raises:
        NotHere: none can be made.
    """
    group = CGROUPS / f"stays_up_{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(size))
    except OSError as error:
        raise NotHere(f"no group of processes can be limited: {error.strerror}") from None
    try:
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text(), 5)
        group.rmdir()


def _cache(app: App) -> str:
    """That of the app under trial, which has filled it, also if no trial before this one did."""
    app.server.require_alive()
    return str(read_settings().cache_dir.absolute())


def _base_file() -> Path:
    settings = read_settings()
    return locate_base(SMOLLM2_135M_INSTRUCT, settings.base_file, settings.cache_dir, print)
