"""Modules of ours run as processes of their own, so that what they load goes with them.

Knows how to start one and hear it out; must not know what it does.
"""

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent


# Ended with this process, if they have not ended by then.
_running: "set[subprocess.Popen[str]]" = set()


@atexit.register
def _end_all() -> None:
    for process in _running:
        process.kill()


class ModuleFailed(RuntimeError):
    """A module ended with an error; the message is the last line that it said."""


def command(module: str, *arguments: str) -> list[str]:
    """What starts the module; to be run with `environment()`."""
    # -P: what lies in the working folder must not be taken for a module of ours.
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """This process's own, and where the module is found whatever the working folder is."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}


def run(module: str, *arguments: str, say: Callable[[str], None]) -> None:
    """Runs a module to its end; each line that it prints is said.

    Raises:
        ModuleFailed: it ended with an error.
    """
    # A file, not a pipe: nobody reads it meanwhile, and a full pipe would stop the process.
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command(module, *arguments),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
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
            complaints.seek(0)
            lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
            said = lines[-1] if lines and process.returncode > 0 else ""
            raise ModuleFailed(said or f"{module} was killed ({process.returncode}).")
