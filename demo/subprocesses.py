"""Runs a module of ours as a child process, so that the memory it takes is given back; and says in
a sentence if there is not enough of it, or of a disk."""

import atexit
import errno
import math
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]

_ROOT = Path(__file__).parent.parent
# Assumed if the system does not say how much memory it has.
UNKNOWN_MEMORY_BYTES = 4 * 2**30
# Killed when this process exits, if they are still running then.
_running: "set[subprocess.Popen[str]]" = set()


# How libraries say, in Python, C++ and Rust, that there is no more of it.
_NO_MEMORY = (
    "MemoryError", "bad_alloc", "allocate memory", "bytes of memory", "failed to map segment",
    # Of a thread that cannot be started.
    "Resource temporarily unavailable",
)  # fmt: skip
_NO_SPACE = (
    "No space left on device", "File too large", "Disk quota exceeded",
    # torch's writer does not say why.
    "PytorchStreamWriter failed writing file",
)  # fmt: skip
_KILLED = -9
# What a process of ours ends with when it has too little memory.
OUT_OF_MEMORY = errno.ENOMEM


class NotEnoughMemory(RuntimeError):
    """There is too little memory; the message is for the owner and says what is needed."""


class ModuleFailed(RuntimeError):
    """A module ended with an error; the message is the last line that it wrote to stderr."""


@atexit.register
def _kill_all() -> None:
    for process in _running:
        process.kill()


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module; it needs `module_environment()`."""
    # -P: a file in the working folder must not be taken for a module of ours.
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment() -> dict[str, str]:
    """This process's environment, with our modules on the path whatever the working folder is."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}


def memory_bytes() -> int:
    """The memory that this process may use: the machine's, its own or its container's limit."""
    if resource is None:
        return UNKNOWN_MEMORY_BYTES
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    total = int(min(physical, address_space()))
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total


def address_space() -> float:
    """How many bytes a process of ours may map (`ulimit -v`); infinity without a limit."""
    if resource is None:
        return math.inf
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return math.inf if limit == resource.RLIM_INFINITY else limit


def require_memory(needed: int, what: str) -> None:
    """Raises NotEnoughMemory if this process may not use so many bytes; `what` needs them."""
    if memory_bytes() < needed:
        raise not_enough_memory(needed, what)


def not_enough_memory(needed: int, what: str) -> NotEnoughMemory:
    return NotEnoughMemory(f"{what} needs {needed / 1e9:.1f} GB of memory. {_limit()}")


def lacks_memory(said: str) -> bool:
    """Whether an error's message, or what a process wrote to stderr, tells of too little memory."""
    return any(sign in said for sign in _NO_MEMORY)


def lacks_space(said: str) -> bool:
    """The same of too little space on a disk."""
    return any(sign in said for sign in _NO_SPACE)


def _limit() -> str:
    return (
        f"A process may use {memory_bytes() / 1e9:.1f} GB here: raise that limit (`ulimit -v`, the "
        "container's memory), or take a larger machine."
    )


def end_with_parent() -> None:
    """Ends this process as soon as its parent has ended, if `run_module` started it: by a pipe."""

    def wait() -> None:
        # Nothing is ever sent. Not sys.stdin, whose lock Python wants when it exits.
        os.read(0, 1)
        os._exit(1)

    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=wait, daemon=True).start()


def run_module(module: str, *arguments: str, say: Callable[[str], None]) -> None:
    """Runs a module to its end; `say` is called with each line that it prints. Raises ModuleFailed
    if it ended with an error, NotEnoughMemory or OSError if memory or disk did not suffice."""
    # A file, not a pipe: nobody reads stderr meanwhile, and a full pipe would stop the process.
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            module_command(module, *arguments),
            env=module_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        )
        _running.add(process)
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                say(line.rstrip("\n"))
            # Before its input is closed, which would end it.
            process.wait()
        _running.discard(process)
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip()
            if process.returncode == _KILLED or lacks_memory(said):
                raise NotEnoughMemory(f"{module} ended for lack of memory. {_limit()}")
            if lacks_space(said):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            lines = said.splitlines()
            last = lines[-1] if lines and process.returncode > 0 else ""
            raise ModuleFailed(last or f"{module} was killed ({process.returncode}).")
