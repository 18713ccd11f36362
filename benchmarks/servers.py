"""Apps and their visitors as processes: started on loopback, measured, ended."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import TypeVar

import httpx

from benchmarks import BenchmarkError, visitors
from benchmarks.measuring import ROOT, pss_mib
from demo.settings import VARIABLES

APP = ("app.py",)
# Where files are stays as the owner has it; every other setting is the benchmark's.
INHERITED = ("BASE_FILE", "CACHE_DIR")
# All visitors of a benchmark have one address.
UNLIMITED = {
    "VISITOR_QUEUE": "1000",
    **dict.fromkeys(("RATE_TEXTS", "RATE_CALLS", "RATE_ROUNDS", "RATE_PARTS"), "1000000/second"),
}
# Below those that systems give to connections.
PORTS = range(20_000, 30_000)
READY_SECONDS = 300.0
STOP_SECONDS = 60.0
LOG_LINES = 20

Found = TypeVar("Found")


@dataclass(frozen=True)
class Server:
    """A running app: its address, its process, what it printed."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def require_alive(self) -> None:
        """Raises BenchmarkError if it has ended; with the end of what it printed."""
        if self.process.poll() is not None:
            end = "\n".join(self.said().splitlines()[-LOG_LINES:])
            raise BenchmarkError(f"The app ended by itself. The end of its log:\n{end}")

    def state(self) -> str:
        """What /readyz says; empty if it does not answer."""
        try:
            return str(httpx.get(f"{self.url}/readyz", timeout=5).json()["status"])
        except (httpx.HTTPError, ValueError):
            return ""

    def is_ready(self) -> bool:
        """Whether it can write, and Gradio has found so itself, which it tries after it listens."""
        return self.state() == "ready" and "Running on" in self.said()

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def memory_mib(self) -> float:
        return pss_mib(self.process.pid)

    def wait_for(self, pending: "AsyncResult[Found]") -> Found:
        """What its visitors found. Raises BenchmarkError if it ended meanwhile, or they found no
        page."""
        while not pending.ready():
            self.require_alive()
            pending.wait(0.1)
        return pending.get()


@contextmanager
def visitors_process() -> Iterator[Pool]:
    """A process that runs functions of `visitors` and has imported them already; it is killed in
    the end, finished or not."""
    with get_context("spawn").Pool(1) as pool:
        pool.apply(visitors.is_imported)
        yield pool


@contextmanager
def running(
    command: tuple[str, ...], url: str, variables: Mapping[str, str], within: Sequence[str] = ()
) -> Iterator[Server]:
    """`python *command`, told to listen at the address. In the end it is stopped as its owner would
    stop it, and what it leaves running is killed. `within` is a command that runs another one in
    less than this machine has, such as `taskset -c 0`, and becomes it."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "app.log").open("wb") as log:
        process = subprocess.Popen(
            [*within, sys.executable, *command],
            cwd=ROOT,
            env={
                **inherited_environment(),
                "GRADIO_SERVER_PORT": url.rpartition(":")[2],
                **UNLIMITED,
                **variables,
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Server(url, process, Path(log.name))
        finally:
            _stop(process)


@contextmanager
def started(
    command: tuple[str, ...] = APP, variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """The same at a free address, once it is ready. Raises BenchmarkError if it ends, or is not
    ready in time."""
    with running(command, free_address(), variables or {}) as server:
        if not wait_for(server.is_ready, READY_SECONDS, server):
            raise BenchmarkError(f"The app was not ready within {READY_SECONDS:g} s.")
        yield server


def wait_for(
    holds: Callable[[], bool], seconds: float, server: Server | None = None
) -> float | None:
    """After how many seconds it holds; None if it does not within so many. Raises BenchmarkError if
    the server ends meanwhile."""
    begun = time.monotonic()
    while not holds():
        if server:
            server.require_alive()
        if time.monotonic() - begun > seconds:
            return None
        time.sleep(0.05)
    return max(time.monotonic() - begun, 1e-3)


def free_address() -> str:
    """Where nobody listens at this moment, nor does a connection begin: while an app starts, one
    that tries to reach it could get the app's own port."""
    while True:
        port = random.choice(PORTS)
        with suppress(OSError), socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            return f"http://127.0.0.1:{port}"


def inherited_environment() -> dict[str, str]:
    """This process's environment without the demo's settings, but for INHERITED."""
    settings = {one.name for one in VARIABLES}.difference(INHERITED)
    foreign = ("GRADIO_", "SYSTEM", "SPACE_")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in settings and not name.startswith(foreign)
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"The app did not stop within {STOP_SECONDS:g} s and is killed.", file=sys.stderr)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
