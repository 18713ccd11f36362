"""A server that has imported torch, transformers, Gradio and our code once, and forks processes.

Importing them takes ten seconds, far longer than most tests. All processes that run the tests of a
session share one server: the first that needs it starts it, and it ends with the session.
"""

import atexit
import fcntl
import gc
import importlib
import multiprocessing
import os
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

# What all forks need.
IMPORTED = ("training.finetune", "tests.hostile_checkpoints", "demo.launch", "tests.scripted")
# Off the Hub, and on one thread, since a tiny model only loses by sharing.
VARIABLES = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
# Names the session's folder, to all of its processes.
_FOLDER = "TESTS_FORK_SERVER"
_ADDRESS, _SESSION, _START = "socket", "session", "start"
_FORK = multiprocessing.get_context("fork")
# Locked as long as the session lasts.
_held: list[TextIO] = []


def session_folder() -> Path:
    """The folder of this session's server. The process that asks first is the session's, and
    removes it when it exits."""
    if _FOLDER not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="tests-")
        atexit.register(folder.cleanup)
        _held.append((Path(folder.name) / _SESSION).open("w"))
        fcntl.flock(_held[-1], fcntl.LOCK_EX)
        os.environ[_FOLDER] = folder.name
    return Path(os.environ[_FOLDER])


class Forked:
    """A process that runs a function of this project, used like a `subprocess.Popen`.

    What it prints goes into a file or pipe; what it reads comes from `given`.
    """

    def __init__(
        self,
        output: Path | Connection,
        run: Callable[..., object],
        *args: object,
        given: Connection | None = None,
    ) -> None:
        with _connect() as server:
            with output.open("wb") if isinstance(output, Path) else output as out:
                files = [out.fileno(), *([given.fileno()] if given else [])]
                socket.send_fds(server, [b"."], files)
            self._line = Connection(server.detach())
        # pytest has put each ring's folder on the path, where functions of its files are found.
        self._line.send(sys.path)
        self._line.send((run, args))
        self.pid: int = self._line.recv()
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float) -> int | None:
        """The exit code, or None if it still runs after so many seconds."""
        if self._code is None and self._line.poll(timeout):
            self._code = self._line.recv()
            self._line.close()
        return self._code

    def send_signal(self, number: int) -> None:
        """Does nothing if the process has ended, as `subprocess.Popen` does."""
        if self.poll() is None:
            # It may end between the two.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _connect() -> socket.socket:
    """A connection to the session's server, which is started if it is not there."""
    folder = session_folder()
    with (folder / _START).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _ADDRESS).exists():
            _start(folder)
    line = socket.socket(socket.AF_UNIX)
    line.connect(str(folder / _ADDRESS))
    return line


def _start(folder: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.forking", str(folder)],
        cwd=Path(__file__).parent.parent, env={**os.environ, **VARIABLES}, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    with server:
        assert server.stdout is not None
        assert server.stdout.readline(), "The server that forks did not start."
        # It is not waited for.
        server.returncode = 0


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks for each request a process that forks once more, for what is to run, and waits."""

    request_queue_size = 100
    max_children = 1_000


class _Starts(socketserver.BaseRequestHandler):
    """Starts a process; says its id, then its exit code."""

    def handle(self) -> None:
        _, files, *_ = socket.recv_fds(self.request, 1, 2)
        with Connection(self.request.detach()) as line:
            sys.path[:] = line.recv()
            run, args = line.recv()
            process = _FORK.Process(target=_enter, args=(line, files, run, args))
            process.start()
            for number in files:
                os.close(number)
            line.send(process.pid)
            process.join()
            # Whoever started it may have ended before.
            with suppress(BrokenPipeError):
                line.send(process.exitcode)


def _enter(
    line: Connection, files: Sequence[int], run: Callable[..., object], args: Sequence[object]
) -> None:
    line.close()
    output, *given = files
    os.dup2(output, 1)
    os.dup2(output, 2)
    if given:
        os.dup2(given[0], 0)
    for number in files:
        os.close(number)
    gc.enable()
    run(*args)


def _end_with(session: Path) -> None:
    """Ends this process once nobody holds the session's file any more."""
    with session.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    os._exit(0)


def main(folder: Path) -> None:
    """Serves until the session ends."""
    # A shell that runs the tests in the background has all of them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What is imported is never garbage, here and in all forks.
    gc.disable()
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    threading.Thread(target=_end_with, args=(folder / _SESSION,), daemon=True).start()
    with _Server(str(folder / _ADDRESS), _Starts) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
