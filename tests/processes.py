"""Real processes for tests: started on a free port, watched, ended."""

import itertools
import os
import runpy
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.forking import Forked

ROOT = Path(__file__).parent.parent
# Settings of whoever runs the tests must not reach the app under test.
_SETTINGS = (
    "GRADIO_", "MODEL_", "CHECKPOINT", "BASE_FILE", "ENGINE", "DEVICE", "SLOTS", "QUEUE_",
    "SYSTEM", "SPACE", "TWEETS", "COUNTS_", "RATE_", "VISITOR_", "TRUSTED_", "METRICS_", "MASK_",
    "LOG_", "STOP_",
)  # fmt: skip
# Tests come from one address, and faster than visitors.
RATES = dict.fromkeys(("RATE_TEXTS", "RATE_CALLS", "RATE_ROUNDS", "RATE_PARTS"), "100000/second")
# Of all tests: `httpx.get` and its like make a client for each request, which reads the system's
# certificates for a twentieth of a second. A connection that is kept may be closed by the server
# just when it is used again. Machines that run tests are busy.
HTTP = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=60)
# Below those that systems give to connections, and beside those of benchmarks/servers.py. Each of
# 16 processes that run tests has its own, and begins anywhere: another session may run beside it.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = range(12_000, 20_000)[_WORKER % 16 :: 16]
_drawn = itertools.count(secrets.randbelow(len(_PORTS)))


@dataclass(frozen=True)
class AppProcess:
    """A running app: where it listens, what it said, whom it called."""

    url: str
    process: "subprocess.Popen[bytes] | Forked"
    log_file: Path
    outside_log: Path

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def outside_hosts(self) -> list[str]:
        return self.outside_log.read_text(encoding="utf-8").splitlines()

    def terminate(self, number: int = signal.SIGTERM) -> int | None:
        """Sends the signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def wait_until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Returns once it holds; fails if it does not for so long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "It did not come about."
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on, and that nobody else takes before an app does."""
    while True:
        port = _PORTS[next(_drawn) % len(_PORTS)]
        with suppress(OSError), socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            return port


def command_environment(folder: Path, **variables: str) -> dict[str, str]:
    """This process's environment without the demo's settings, watched for outside hosts."""
    # With CI=true some libraries keep quiet that would call home from an owner's machine.
    kept = {n: v for n, v in os.environ.items() if n != "CI" and not n.startswith(_SETTINGS)}
    path = os.pathsep.join((str(ROOT / "tests" / "watched"), str(ROOT)))
    outside_log = folder / "outside.log"
    outside_log.touch()
    return {**kept, "PYTHONPATH": path, "OUTSIDE_LOG": str(outside_log), **variables}


@contextmanager
def running_app(
    arguments: list[str], folder: Path, variables: Mapping[str, str] | None = None
) -> Iterator[AppProcess]:
    """`python *arguments`, once it answers; killed afterwards if it still runs. A module,
    `-m NAME`, is forked."""
    port = free_port()
    settings = {"GRADIO_SERVER_PORT": str(port), **RATES, **(variables or {})}
    environment = command_environment(folder, **settings)
    log_file = folder / "app.log"
    process: subprocess.Popen[bytes] | Forked
    if arguments[0] == "-m":
        process = Forked(log_file, run_module, arguments[1], environment)
    else:
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
    url = f"http://127.0.0.1:{port}"
    app = AppProcess(url, process, log_file, Path(environment["OUTSIDE_LOG"]))
    try:
        _wait_until_it_answers(app)
        yield app
    finally:
        process.kill()
        process.wait(60)


def run_module(name: str, environment: dict[str, str], errors: Path | None = None) -> None:
    """As `python -m NAME 2>errors`, with the hook that a new interpreter would find on its path."""
    if errors:
        with errors.open("wb") as opened:
            os.dup2(opened.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    runpy.run_path(str(ROOT / "tests" / "watched" / "sitecustomize.py"))
    runpy.run_module(name, run_name="__main__")


def _wait_until_it_answers(app: AppProcess, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and app.process.poll() is None:
        try:
            if HTTP.get(app.url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"The app did not start:\n{app.log()}")
