"""The CPU engine: OpenVINO GenAI's continuous batching, in a process that may die.

Knows an exported folder, a worker process and its messages; must not know checkpoints' origins,
HTTP or pages. What the process does is in openvino_worker.
"""

import itertools
import json
import logging
import os
import subprocess
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from tokenizers import Tokenizer

from demo import processes
from demo.checkpoints.resolve import Checkpoint, CheckpointError
from demo.generation.engine import (
    HEARTBEAT_SECONDS,
    WAITING,
    Chunk,
    Ending,
    EngineError,
    EngineIdentity,
    FinishReason,
)
from demo.generation.openvino.export_format import Exported
from demo.generation.request import (
    FIELDS,
    MAX_PROMPT_CHARACTERS,
    GenerationRequest,
    InvalidRequest,
)
from demo.generation.tokens import Opening, Tokens, Writing

# These three together make a text the same whoever else is being written for.
EXACT: Mapping[str, str] = {
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}
# Activations are quantised and the cache rounded, as the plugin does by default; but not to
# bfloat16: on a CPU with AMX that took a third longer for one visitor, and elsewhere won nothing.
FAST: Mapping[str, str] = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "64",
}
# OpenVINO's paged attention on a CPU keeps the cache in blocks of this many tokens.
BLOCK_TOKENS = 32
# A value of the cache takes four bytes in exact settings; otherwise one, and its share of a scale.
CACHE_BYTES_PER_VALUE = {True: 4.0, False: 1.25}
CACHE_SHARE_OF_MEMORY = 1 / 8
# What is set aside for each slot. OpenVINO takes fresh blocks until all were used once, so this is
# what the cache grows to; a tweet and its opening take about 80 tokens. Where several texts are
# longer, some wait and are read again, which changes no text.
CACHE_TOKENS_PER_SLOT = 256
# Taken where the system does not tell how much memory it has.
UNKNOWN_MEMORY_BYTES = 4 * 2**30
# A character is at most four bytes, and a token at least one.
LONGEST_REQUEST_TOKENS = 4 * MAX_PROMPT_CHARACTERS + int(FIELDS["max_new_tokens"].maximum)
MAX_BACK_OFF_SECONDS = 2.0
# A step that takes longer than this is taken for one that never ends.
STALL_SECONDS = 30.0
# How long a request waits for a worker that is being restarted.
RESTART_PATIENCE_SECONDS = 15.0
START_SECONDS = 120.0
CLOSE_SECONDS = 5.0
SHUTTING_DOWN = "The demo is shutting down."

log = logging.getLogger(__name__)


class OpenVINOEngine:
    """An `Engine` that writes `slots` texts at once, in one batch, joined and left mid-way.

    `exact` makes a seed's text the same alone and among others. `deadline_seconds` bounds a
    request from its first `next()`. Top-p is applied before top-k, as OpenVINO does it.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint: Checkpoint,
        *,
        exact: bool,
        slots: int,
        deadline_seconds: float = 120.0,
        cache_bytes: int | None = None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        """Starts the worker and returns once it could generate.

        Args:
            folder: what openvino_export wrote.
            cache_bytes: what all texts under way may keep; by default an eighth of the memory.

        Raises:
            CheckpointError: the folder cannot be read, or the worker does not start.
        """
        exported = _read(folder)
        tokenizer = _read_tokenizer(folder)
        if tokenizer.get_vocab_size() > exported.vocabulary:
            raise CheckpointError(f"The tokenizer in {folder} does not fit its model.")
        self._tokens = Tokens(tokenizer, exported.mark, exported.context_tokens)
        self.context_tokens = exported.context_tokens
        self.identity = EngineIdentity(
            checkpoint=checkpoint.name,
            revision=checkpoint.revision,
            engine=f"OpenVINO {version('openvino-genai')}",
            precision=f"{exported.precision}, {'exact' if exact else 'fast'}",
        )
        self._deadline_seconds = deadline_seconds
        blocks = _cache_blocks(exported, exact, slots, cache_bytes)
        self._cache_tokens = blocks * BLOCK_TOKENS
        properties = json.dumps(dict(EXACT if exact else FAST))
        options = (
            f"--source={exported.source}",
            f"--slots={slots}",
            f"--cache-blocks={blocks}",
            f"--properties={properties}",
        )
        self._worker = _Worker((str(folder), *options), stall_seconds)
        if not self._worker.wait_for_start(START_SECONDS):
            self.close()
            raise CheckpointError("OpenVINO's worker process did not start; the log says more.")

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        """See `Engine.stream`."""
        opening = self._tokens.opening(request)
        self._require_fit(opening)
        run = _Run(Writing(self._tokens, opening), opening, self._deadline_seconds)
        yield from self._until_up(run)
        try:
            self._worker.add(run.number, run.events, _command(opening, request))
            yield from self._read(run)
        finally:
            self._worker.forget(run.number)

    def count_tokens(self, text: str) -> int:
        """See `Engine.count_tokens`."""
        return len(self._tokens.encode(text))

    def health(self) -> bool:
        """False while the worker is being restarted, or has not been heard of for too long."""
        return self._worker.is_up() and not self._worker.is_stalled()

    def close(self) -> None:
        """Ends the worker; readers of what it wrote are told."""
        self._worker.close()

    def _require_fit(self, opening: Opening) -> None:
        needed = len(opening.ids) + opening.limit
        if needed > self._cache_tokens:
            raise InvalidRequest(
                f"Prompt and length come to {needed} tokens; this server keeps at most "
                f"{self._cache_tokens} at a time. Shorten one of them."
            )

    def _until_up(self, run: "_Run") -> Generator[Chunk, None, None]:
        patience = time.monotonic() + min(RESTART_PATIENCE_SECONDS, run.seconds_left())
        while not self._worker.ready.wait(HEARTBEAT_SECONDS):
            if self._worker.is_closing():
                raise EngineError(SHUTTING_DOWN)
            if time.monotonic() > patience:
                raise EngineError("The demo is restarting. Try again in a minute.")
            yield WAITING

    def _read(self, run: "_Run") -> Generator[Chunk, None, None]:
        reason: FinishReason | None = None
        while reason is None:
            event = self._next_event(run)
            piece = run.writing.add(event.tokens)
            run.note_first(event.tokens)
            reason = _reason(run, event)
            if reason is None:
                yield Chunk(piece)
        yield Chunk(piece + run.writing.rest(), run.ending(reason))

    def _next_event(self, run: "_Run") -> "_Event":
        """The next one; an empty one after a while without."""
        try:
            return run.events.get(timeout=min(HEARTBEAT_SECONDS, run.seconds_left()))
        except Empty:
            return _NOTHING_YET


@dataclass(frozen=True)
class _Event:
    """New tokens of one request, and whether there will be more."""

    tokens: list[int]
    state: str


_NOTHING_YET = _Event([], "more")
_LOST = _Event([], "lost")
_CLOSED = _Event([], "closed")
_numbers = itertools.count(1)


@dataclass
class _Run:
    """One request under way."""

    writing: Writing
    opening: Opening
    deadline_seconds: float
    number: int = field(default_factory=lambda: next(_numbers))
    events: "SimpleQueue[_Event]" = field(default_factory=SimpleQueue)
    started: float = field(default_factory=time.monotonic)
    first_seconds: float = 0.0

    def seconds(self) -> float:
        """Since the request came."""
        return time.monotonic() - self.started

    def seconds_left(self) -> float:
        """Until the deadline; never negative."""
        return max(0.0, self.deadline_seconds - self.seconds())

    def note_first(self, tokens: list[int]) -> None:
        """Remembers when the first token came."""
        if tokens and not self.first_seconds:
            self.first_seconds = self.seconds()

    def ending(self, reason: FinishReason) -> Ending:
        """What the last chunk says."""
        counts = (self.opening.prompt_tokens, self.writing.new_tokens, self.opening.limit)
        return Ending(reason, *counts, self.first_seconds, self.seconds())


def _reason(run: _Run, event: _Event) -> FinishReason | None:
    """Why the text is over, or None if it goes on.

    Raises:
        EngineError: it cannot go on.
    """
    if event.state == "more":
        return _deadline(run)
    if event.state == "lost":
        raise EngineError("The engine stopped and is being restarted. Try again in a moment.")
    if event.state == "closed":
        raise EngineError(SHUTTING_DOWN)
    if event.state == "failed":
        raise EngineError("Generation failed. Try again.")
    return "end_of_tweet" if run.writing.is_closed else "length"


def _deadline(run: _Run) -> FinishReason | None:
    """The reason, if the time is up.

    Raises:
        EngineError: it is, and not a token came: the text never had its turn.
    """
    if run.seconds_left() > 0:
        return None
    if not run.writing.new_tokens:
        raise EngineError("The demo is busy. Try again in a minute.")
    return "deadline"


class _Worker:
    """The process, whoever it is at present: started, heard, and started again when it dies.

    `ready` is set while one is up. Three threads: one keeps a process alive and hears it, one
    tells it what to do, and one ends it if it hangs.
    """

    def __init__(self, arguments: tuple[str, ...], stall_seconds: float) -> None:
        self._arguments = arguments
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._readers: dict[int, SimpleQueue[_Event]] = {}
        # What the process was asked for and has not told the end of, read or not.
        self._owed: set[int] = set()
        self._process: subprocess.Popen[str] | None = None
        self._outbox: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
        self._heard_at = time.monotonic()
        self._failures = 0
        self._closing = threading.Event()
        self.ready = threading.Event()
        for task in (self._supervise, self._watch):
            threading.Thread(target=task, name="openvino", daemon=True).start()

    def wait_for_start(self, seconds: float) -> bool:
        """True once it is up; False after so long, or when it has died twice on the way."""
        deadline = time.monotonic() + seconds
        while not self.ready.wait(0.1):
            if self._failures > 1 or time.monotonic() > deadline:
                return False
        return True

    def is_up(self) -> bool:
        """True while the process could be asked for a text."""
        return self.ready.is_set() and not self.is_closing()

    def is_closing(self) -> bool:
        """True once it is told to end for good."""
        return self._closing.is_set()

    def is_stalled(self) -> bool:
        """True if the process owes something, its start included, and was silent for too long."""
        limit = self._stall_seconds if self.ready.is_set() else START_SECONDS
        owes = bool(self._owed) or not self.ready.is_set()
        return owes and time.monotonic() - self._heard_at > limit

    def add(self, number: int, events: "SimpleQueue[_Event]", command: Mapping[str, Any]) -> None:
        """Asks for a text, whose events are put in the queue.

        Raises:
            EngineError: it is closing.
        """
        with self._lock:
            if self.is_closing():
                raise EngineError(SHUTTING_DOWN)
            if self._process is None:
                events.put(_LOST)
                return
            if not self._owed:
                self._heard_at = time.monotonic()
            self._readers[number] = events
            self._owed.add(number)
            self._outbox.put({"add": number, **command})

    def forget(self, number: int) -> None:
        """Cancels a text, unless it is over."""
        with self._lock:
            if self._readers.pop(number, None) is not None:
                self._outbox.put({"cancel": number})

    def close(self) -> None:
        """Ends the process for good."""
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
        """Keeps a process alive: started again at once, then with pauses that grow."""
        while not self.is_closing():
            ended = self._live_once()
            if not self.is_closing():
                pause = _back_off(self._failures)
                log.error("OpenVINO's worker ended (%s); it is restarted in %.1f s.", ended, pause)
                self._failures += 1
                self._closing.wait(pause)

    def _live_once(self) -> int | str | None:
        """One process, from its start to its end; how it ended."""
        try:
            process = self._start()
        except OSError as error:
            return error.strerror
        self._hear(process)
        self.ready.clear()
        code = process.wait()
        self._lose_all()
        return code

    def _start(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            processes.command("demo.generation.openvino.worker", *self._arguments),
            env=processes.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        with self._lock:
            self._process, self._heard_at = process, time.monotonic()
            self._outbox = SimpleQueue()
            if self.is_closing():
                self._outbox.put(None)
            arguments = (process.stdin, self._outbox)
        threading.Thread(target=_tell, args=arguments, name="openvino", daemon=True).start()
        return process

    def _hear(self, process: "subprocess.Popen[str]") -> None:
        """Until the process ends; one that says what is no message is ended."""
        assert process.stdout is not None
        try:
            with process.stdout as lines:
                for line in lines:
                    self._obey(json.loads(line))
        except (ValueError, TypeError):
            log.exception("OpenVINO's worker said what is no message.")
            process.kill()

    def _obey(self, message: Any) -> None:
        self._heard_at = time.monotonic()
        if isinstance(message, dict):
            self.ready.set()
            return
        for number, tokens, state in message:
            self._pass_on(number, _Event(tokens, state))

    def _pass_on(self, number: int, event: _Event) -> None:
        if event.tokens:
            self._failures = 0
        with self._lock:
            over = event.state != "more"
            reader = self._readers.pop(number, None) if over else self._readers.get(number)
            if over:
                self._owed.discard(number)
        if reader is not None:
            reader.put(event)

    def _lose_all(self) -> None:
        with self._lock:
            lost, self._readers = self._readers, {}
            self._owed.clear()
            self._process = None
            self._outbox.put(None)
            event = _CLOSED if self.is_closing() else _LOST
        for reader in lost.values():
            reader.put(event)

    def _watch(self) -> None:
        """Ends a process that hangs, at its start or its end too; it is then started again."""
        while not self._closing.wait(HEARTBEAT_SECONDS):
            process = self._process
            if process is not None and self.is_stalled():
                log.error("OpenVINO's worker hangs and is killed.")
                process.kill()
                self._heard_at = time.monotonic()


def _tell(pipe: IO[str], outbox: "SimpleQueue[Mapping[str, Any] | None]") -> None:
    """The thread that writes commands: a full pipe holds up nobody else."""
    with suppress(OSError, ValueError):
        while (command := outbox.get()) is not None:
            pipe.write(json.dumps(command, separators=(",", ":")) + "\n")
            pipe.flush()
    _close_quietly(pipe)


def _close_quietly(pipe: IO[str]) -> None:
    # Closing flushes, to somebody who may be gone.
    with suppress(OSError):
        pipe.close()


def _back_off(failures: int) -> float:
    """Seconds to wait before the next start, after so many without a token between them."""
    return 0.0 if failures == 0 else min(MAX_BACK_OFF_SECONDS, 0.25 * 2 ** min(failures, 8))


def _command(opening: Opening, request: GenerationRequest) -> dict[str, Any]:
    settings = request.settings()
    del settings["max_new_tokens"]
    return {"ids": opening.ids, "limit": opening.limit, **settings}


def _read(folder: Path) -> Exported:
    try:
        return Exported.read(folder)
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _read_tokenizer(folder: Path) -> Tokenizer:
    # `tokenizers` raises nothing more special.
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        raise CheckpointError(f"The tokenizer in {folder} cannot be read.") from error


def _cache_blocks(exported: Exported, exact: bool, slots: int, cache_bytes: int | None) -> int:
    """Room for every slot's share and for the longest request there can be, within what the
    machine can spare; at least one block."""
    per_token = exported.cache_values_per_token * CACHE_BYTES_PER_VALUE[exact]
    affordable = (cache_bytes or memory_bytes() * CACHE_SHARE_OF_MEMORY) / per_token / BLOCK_TOKENS
    longest = min(exported.context_tokens + 1, LONGEST_REQUEST_TOKENS)
    usable = -(-max(slots * CACHE_TOKENS_PER_SLOT, longest) // BLOCK_TOKENS)
    return max(1, min(int(affordable), usable))


def memory_bytes() -> int:
    """What this process may use: the machine's memory, or its container's share of it."""
    if not hasattr(os, "sysconf"):
        return UNKNOWN_MEMORY_BYTES
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total
