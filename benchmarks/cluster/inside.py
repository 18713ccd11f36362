"""Runs this command once more, in namespaces of its own: nothing that it starts outlives it."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks import BenchmarkError

# Names the folder that both have; only the command inside has it.
INSIDE = "BENCHMARKS_CLUSTER"
# Its processes end with the first of them, which ends with this one, even when that is killed; and
# the networks end with the processes.
WITHIN = ("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--uts", "--pid", "--fork",
          "--kill-child", "--mount-proc")  # fmt: skip
TOOLS = ("setpriv", "unshare", "nsenter", "ip", "mount", "taskset")
# For all trials.
LIMIT_SECONDS = 7_200
LAST_WORD_SECONDS = 60


def scratch() -> Path | None:
    """The folder that the command inside shares with the one outside; None outside."""
    return Path(os.environ[INSIDE]) if INSIDE in os.environ else None


def require_means() -> None:
    """Raises BenchmarkError if this machine lacks something."""
    if os.geteuid():
        raise BenchmarkError("Only root can make network namespaces: run it as root.")
    if missing := [name for name in TOOLS if not shutil.which(name)]:
        raise BenchmarkError(f"There is no {', '.join(missing)}: install util-linux and iproute2.")
    if not importlib.util.find_spec("ray"):
        raise BenchmarkError(
            "Ray is not installed: pip install -r deploy/ray/requirements.txt, best into an "
            "environment of its own."
        )


def run_inside(folder: Path, environment: Mapping[str, str]) -> int:
    """Runs the same command inside, with this environment, and returns its exit code. Raises
    BenchmarkError if it takes too long."""
    process = subprocess.Popen(
        [*WITHIN, sys.executable, "-m", "benchmarks", *sys.argv[1:]],
        env={**environment, INSIDE: str(folder)},
        start_new_session=True,
    )
    try:
        return process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"It took longer than {LIMIT_SECONDS / 3600:g} hours.") from None
    finally:
        _end(process)


def short_folder() -> "tempfile.TemporaryDirectory[str]":
    """A scratch folder with a path that leaves room for Ray's: a socket's has 107 bytes."""
    return tempfile.TemporaryDirectory(prefix="ray", dir="/tmp")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    # As Ctrl-C does; the table is written then. `unshare` itself does not heed it.
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(LAST_WORD_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
