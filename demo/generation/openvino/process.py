"""The engine's worker process: started, given commands, listened to, restarted when it dies.

What runs in it is `demo.generation.openvino.worker`.
"""

import json
import logging
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, Any

from demo import subprocesses
from demo.generation.engine import HEARTBEAT_SECONDS, SHUTTING_DOWN, EngineError, WorkerState

MAX_BACK_OFF_SECONDS = 2.0
# A worker reports after each step, and every second if it has nothing to do. One that is silent for
# longer than this counts as one that hangs.
STALL_SECONDS = 8.0
START_SECONDS = 120.0
# A worker leaves nothing unsaved: one that does not end at once is killed.
CLOSE_SECONDS = 1.0

WORKER = "demo.generation.openvino.worker"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """New tokens of one request. `state` is "more", "ended" or "failed", as the worker says, or
    "lost" or "closed" if the process is gone."""

    tokens: list[int]
    state: str


LOST = Event([], "lost")
CLOSED = Event([], "closed")


class WorkerProcess:
    """A process that is started again when it dies or hangs; `ready` is set while it is up. Three
    threads: one keeps it alive and reads what it reports, one writes commands to it, and one kills
    it if it hangs."""

    def __init__(self, arguments: tuple[str, ...], stall_seconds: float) -> None:
        self._arguments = arguments
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._readers: dict[int, SimpleQueue[Event]] = {}
        self._process: subprocess.Popen[str] | None = None
        self._outbox: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
        self._last_message = time.monotonic()
        self._failures = 0
        self._restarts = 0
        self._closing = threading.Event()
        # Whether it ended for lack of memory when it ended last.
        self.lacks_memory = False
        self.ready = threading.Event()
        for task in (self._supervise, self._watch):
            threading.Thread(target=task, name="openvino", daemon=True).start()

    def wait_for_start(self, seconds: float) -> bool:
        """True once it is up; False after so many seconds, or once it has died twice."""
        deadline = time.monotonic() + seconds
        while not self.ready.wait(0.1):
            if self._failures > 1 or time.monotonic() > deadline:
                return False
        return True

    def is_healthy(self) -> bool:
        """True while the process could be asked for a text, and is not silent for too long."""
        return self.ready.is_set() and not self.is_closing() and not self._is_stalled()

    def is_closing(self) -> bool:
        return self._closing.is_set()

    def state(self) -> WorkerState:
        """Its process id, if it runs, and how often it was started again."""
        process = self._process
        return WorkerState(process.pid if process else None, self._restarts)

    def _is_stalled(self) -> bool:
        limit = self._stall_seconds if self.ready.is_set() else START_SECONDS
        return time.monotonic() - self._last_message > limit

    def add(self, number: int, events: "SimpleQueue[Event]", command: Mapping[str, Any]) -> None:
        """Asks for a text, whose events are put in the queue. Raises EngineError after `close`."""
        with self._lock:
            if self.is_closing():
                raise EngineError(SHUTTING_DOWN)
            if self._process is None:
                events.put(LOST)
                return
            self._readers[number] = events
            self._outbox.put({"add": number, **command})

    def forget(self, number: int) -> None:
        """Cancels a text, unless it is over."""
        with self._lock:
            if self._readers.pop(number, None) is not None:
                self._outbox.put({"cancel": number})

    def close(self) -> None:
        with self._lock:
            self._closing.set()
            process = self._process
            self._outbox.put(None)
        if process is None:
            return
        try:
            process.wait(timeout=CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _supervise(self) -> None:
        """Restarts the process when it ends: at once, then after pauses that grow."""
        while not self.is_closing():
            ended = self._run_once()
            self.lacks_memory = ended == subprocesses.OUT_OF_MEMORY
            if not self.is_closing():
                pause = _back_off(self._failures)
                log.error("OpenVINO's worker ended (%s); it is restarted in %.1f s.", ended, pause)
                self._failures += 1
                self._restarts += 1
                self._closing.wait(pause)

    def _run_once(self) -> int | str | None:
        """Runs one process from start to end; returns its exit code, or why it did not start."""
        try:
            process = self._start()
        except OSError as error:
            return error.strerror
        self._listen(process)
        self.ready.clear()
        code = process.wait()
        self._end_all()
        return code

    def _start(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            subprocesses.module_command(WORKER, *self._arguments),
            env=subprocesses.module_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        with self._lock:
            self._process, self._last_message = process, time.monotonic()
            self._outbox = SimpleQueue()
            if self.is_closing():
                self._outbox.put(None)
            arguments = (process.stdin, self._outbox)
        threading.Thread(target=_write, args=arguments, name="openvino", daemon=True).start()
        return process

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        """Reads messages until the process ends; kills one that sends anything else."""
        assert process.stdout is not None
        try:
            with process.stdout as lines:
                for line in lines:
                    self._handle(json.loads(line))
        except (ValueError, TypeError):
            log.exception("OpenVINO's worker sent something that is not a message.")
            process.kill()

    def _handle(self, message: Any) -> None:
        self._last_message = time.monotonic()
        if isinstance(message, dict):
            self.ready.set()
            return
        for number, tokens, state in message:
            if tokens:
                self._failures = 0
            with self._lock:
                reader = self._readers.get(number)
                if state != "more":
                    self._readers.pop(number, None)
            if reader is not None:
                reader.put(Event(tokens, state))

    def _end_all(self) -> None:
        with self._lock:
            lost, self._readers = self._readers, {}
            self._process = None
            self._outbox.put(None)
            event = CLOSED if self.is_closing() else LOST
        for reader in lost.values():
            reader.put(event)

    def _watch(self) -> None:
        """Kills a process that hangs, also at its start or end; it is then restarted."""
        while not self._closing.wait(HEARTBEAT_SECONDS):
            process = self._process
            if process is not None and self._is_stalled():
                log.error("OpenVINO's worker hangs and is killed.")
                # It is not up again before another one says so.
                self.ready.clear()
                process.kill()
                self._last_message = time.monotonic()


def _write(pipe: IO[str], outbox: "SimpleQueue[Mapping[str, Any] | None]") -> None:
    """Writes commands, in a thread of its own: a full pipe holds up nobody else."""
    with suppress(OSError, ValueError):
        while (command := outbox.get()) is not None:
            pipe.write(json.dumps(command, separators=(",", ":")) + "\n")
            pipe.flush()
    # Closing flushes, to a process that may be gone.
    with suppress(OSError):
        pipe.close()


def _back_off(failures: int) -> float:
    """Seconds to wait before the next start, after so many failures without a token in between."""
    return min(MAX_BACK_OFF_SECONDS, 0.25 * 2 ** min(failures, 8)) if failures else 0.0
