"""Runs a module of ours as a child process, so that the memory it takes is given back."""

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).parent.parent
# Assumed if the system does not say how much memory it has.
UNKNOWN_MEMORY_BYTES = 4 * 2**30
# Killed when this process exits, if they are still running then.
_running: "set[subprocess.Popen[str]]" = set()


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
    """The memory that this process may use: the machine's, or its container's limit."""
    if not hasattr(os, "sysconf"):
        return UNKNOWN_MEMORY_BYTES
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total


def run_module(module: str, *arguments: str, say: Callable[[str], None]) -> None:
    """Runs a module to its end; `say` is called with each line that it prints.

    Raises:
        ModuleFailed: it ended with an error.
    """
    # A file, not a pipe: nobody reads stderr meanwhile, and a full pipe would stop the process.
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            module_command(module, *arguments),
            env=module_environment(),
            stdin=subprocess.DEVNULL,
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
        _running.discard(process)
        if process.returncode:
            errors.seek(0)
            lines = errors.read().decode("utf-8", "replace").strip().splitlines()
            last = lines[-1] if lines and process.returncode > 0 else ""
            raise ModuleFailed(last or f"{module} was killed ({process.returncode}).")
