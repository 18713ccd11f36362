"""Apps and their visitors as processes: started on loopback, measured, ended.

Knows how processes are run; must not know which app is started nor what its figures mean.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.machine import pss_mib
from benchmarks.observations import Wave
from benchmarks.visitors import AT_THE_DOOR
from demo.settings import VARIABLES

ROOT = Path(__file__).parent.parent
# Where files were put stays as the owner has it; every other setting is the benchmark's.
KEPT = ("BASE_FILE", "CACHE_DIR")
STOP_SECONDS = 60.0
LOG_LINES = 20


@dataclass(frozen=True)
class Server:
    """A running app: its address, its process, what it printed."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def require_alive(self) -> None:
        """Raises:
        BenchmarkError: it has ended; with the end of what it printed.
        """
        if self.process.poll() is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            end = "\n".join(lines[-LOG_LINES:])
            raise BenchmarkError(f"The app ended by itself. The end of its log:\n{end}")

    def memory_mib(self) -> float:
        """The PSS of the process and all it has started."""
        return pss_mib(self.process.pid)


class Newcomer:
    """A visitor who is at the door before the app is started."""

    def __init__(self, url: str, tokens: int, patience: float) -> None:
        command = [*_visitors(url, tokens, patience), "--newcomer"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._said = self._process.stdout
        if self._said.readline().strip() != AT_THE_DOOR:
            raise BenchmarkError("The first visitor did not get to the door.")

    def wave(self, server: Server) -> Wave:
        """What it saw, once it has its text or has lost its patience.

        Raises:
            BenchmarkError: the app ended meanwhile.
        """
        while self._process.poll() is None:
            server.require_alive()
            time.sleep(0.1)
        [wave] = _waves(self._said.read())
        return wave

    def close(self) -> None:
        """It leaves, whether it has its text or not."""
        self._process.kill()
        self._process.wait()
        self._said.close()


def visit(server: Server, visitors: int, tokens: int, waves: int, patience: float) -> list[Wave]:
    """So many visitors at once, so many times; their failures are in the waves.

    Raises:
        BenchmarkError: the app is no longer there.
    """
    command = [*_visitors(server.url, tokens, patience), f"--visitors={visitors}"]
    answer = subprocess.run(
        [*command, f"--waves={waves}"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    server.require_alive()
    if answer.returncode:
        raise BenchmarkError("The visitors' process failed; its error stands above.")
    return _waves(answer.stdout)


@contextmanager
def running(command: tuple[str, ...], url: str, variables: Mapping[str, str]) -> Iterator[Server]:
    """`python *command`, told to listen there. In the end it is stopped as its owner would stop
    it, and what it leaves running is killed."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "app.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=_environment(url, variables),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Server(url, process, Path(log.name))
        finally:
            _stop(process)


def free_address() -> str:
    """Where nobody listens at this moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def _environment(url: str, variables: Mapping[str, str]) -> dict[str, str]:
    settings = {one.name for one in VARIABLES}.difference(KEPT)
    foreign = ("GRADIO_", "SYSTEM", "SPACE_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in settings and not name.startswith(foreign)
    }
    return {**kept, "GRADIO_SERVER_PORT": url.rpartition(":")[2], **variables}


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"The app did not stop within {STOP_SECONDS:g} s and is killed.", file=sys.stderr)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _visitors(url: str, tokens: int, patience: float) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.visitors", url]
    return [*command, f"--tokens={tokens}", f"--patience={patience}"]


def _waves(document: str) -> list[Wave]:
    return [Wave.from_json(value) for value in json.loads(document)]
