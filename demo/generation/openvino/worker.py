"""The process in which OpenVINO GenAI generates: token ids in, token ids out.

It is a process of its own because a step holds Python's lock for as long as the model computes,
and because a crash must not take the server along. It knows nothing of text and imports neither
Gradio nor transformers.

Its arguments are an exported folder and options in JSON, as `OpenVINOEngine` writes them.
Lines of JSON come in: `{"add": id, "ids": […], "limit": n, …}` or `{"cancel": id}`; the end
of the input ends the process. Lines go out: `{"ready": true}` once, then lists of
`[id, [token, …], state]` with the state "more", "ended" or "failed".
"""

import itertools
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TextIO

import numpy as np

from demo.generation.engine import UPDATE_SECONDS
from demo.generation.openvino.exported import BLOCK_TOKENS, WEIGHTS, Exported
from demo.generation.openvino.runtime import (
    MAX_STEP_TOKENS,
    Companion,
    genai,
    open_pipeline,
    ov,
    release_mapped,
)
from demo.generation.request import REDRAW_SEED_STRIDE
from demo.subprocesses import OUT_OF_MEMORY, lacks_memory

# It reports to the parent at least this often, but for a step that takes longer.
PULSE_SECONDS = 1.0
# Length of the made-up prompt that compiles the kernels before the first visitor comes.
WARM_UP_TOKENS = 8
# After so many redraws, a text ends before the pair that must not be written.
MAX_REDRAWS = 10
# From this redraw on, the rest of a text is drawn from all tokens, at a temperature of at least 1:
# by other settings the pair may be all that is likely.
FIRST_FREE_REDRAW = 5

Command = Mapping[str, Any]


@dataclass
class _Live:
    """A text under way, for which `blocks` of the cache are set aside. Its prompt's tokens are
    `unread` until it has a `new` token of its own; those after the first `sent` wait until an
    update is due."""

    handle: Any
    command: Command
    blocks: int
    unread: int
    new: list[int] = field(default_factory=list)
    sent: int = 0
    sent_at: float = float("-inf")


class Worker:
    """Steps the pipeline while there is work, and reports after each step.

    Texts without a slot wait here, not in the pipeline: there, a cancelled text keeps its place
    until the next step, and if all places are taken by cancelled texts, the pipeline takes the
    empty step for lack of memory and drops every other text.

    A text must not depend on the others. So the cache holds each one under way until its end: one
    that the pipeline has to drop is read again as a prompt, by other kernels. And a prompt that
    fits into a step is never cut: a part of one token would be read by other kernels, too. A longer
    prompt may come to that, and leaves a companion no place in its steps.

    `forbidden` is a token, and the tokens after which it must not be written. The pipeline cannot
    rule out a pair, so it stops at the token. The worker then drops the pair and continues the text
    from there, with a seed that follows from the text's own.
    """

    def __init__(self, pipeline: Any, exported: Exported, slots: int, cache_blocks: int,
                 forbidden: tuple[int, Sequence[int]] | None,
                 inbox: "SimpleQueue[Command | None]", outbox: TextIO) -> None:  # fmt: skip
        self._pipeline = pipeline
        self._companion = Companion(pipeline)
        self._exported = exported
        self._slots = slots
        self._cache_blocks = cache_blocks
        self._forbidden = forbidden[0] if forbidden else None
        self._before_forbidden = frozenset(forbidden[1] if forbidden else ())
        # An id that is used twice ruins the pipeline.
        self._handle_numbers = itertools.count()
        self._inbox = inbox
        self._outbox = outbox
        self._waiting: dict[int, Command] = {}
        self._live: dict[int, _Live] = {}
        # Whether a text was cancelled since the last step: it keeps its slot and cache until then.
        self._has_cancelled = False
        self._sent_at = 0.0

    def run(self) -> None:
        while self._read_commands():
            self._admit_waiting()
            if self._live:
                self._companion.join(len(self._live))
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
            self._has_cancelled = False
            self._report()

    def warm_up(self) -> None:
        """Generates a few tokens for two made-up prompts at once, and drops them."""
        ids = [self._exported.eos_token_id] * WARM_UP_TOKENS
        command = {"ids": ids, "limit": 2, "temperature": 1.0, "top_p": 0.9,
                   "top_k": 0, "repetition_penalty": 1.1, "seed": 0}  # fmt: skip
        handles = [self._admit(command) for _ in range(2)]
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        del handles

    def send(self, message: object) -> None:
        self._outbox.write(json.dumps(message, separators=(",", ":")) + "\n")
        self._outbox.flush()
        self._sent_at = time.monotonic()

    def _read_commands(self) -> bool:
        """Handles the commands that are there, or waits for one if there is nothing to do; False at
        the end."""
        while not self._has_work() or not self._inbox.empty():
            try:
                command = self._inbox.get(timeout=PULSE_SECONDS)
            except Empty:
                self.send([])
                continue
            if command is None:
                return False
            if "cancel" in command:
                self._cancel(command["cancel"])
            else:
                self._waiting[command["add"]] = command
        return True

    def _has_work(self) -> bool:
        return bool(self._waiting or self._live) or self._pipeline.has_non_finished_requests()

    def _admit_waiting(self) -> None:
        """Gives free slots to waiting texts, in the order of `_next_to_admit`."""
        while not self._has_cancelled and (number := self._next_to_admit()) is not None:
            command = self._waiting.pop(number)
            try:
                handle = self._admit(command)
                self._live[number] = _Live(handle, command, _blocks(command), len(command["ids"]))
            except (RuntimeError, ValueError) as error:
                # Not the message, which a checkpoint's files may have worded.
                place = traceback.extract_tb(error.__traceback__)[-1]
                told = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
                print(f"The engine refused a request: {told}", file=sys.stderr, flush=True)
                self.send([[number, [], "failed"]])

    def _next_to_admit(self) -> int | None:
        """The first waiting text that has a slot, its whole length in the cache, and its prompt a
        place in the next step; a prompt that is longer than a step is read alone. One that takes
        much of the cache is overtaken, and does not hold up those that came after it."""
        live = self._live.values()
        if len(live) == self._slots:
            return None
        free = self._cache_blocks - sum(text.blocks for text in live)
        unread = sum(text.unread for text in live)
        for number, command in self._waiting.items():
            is_read_whole = not unread or unread + len(command["ids"]) <= MAX_STEP_TOKENS
            if _blocks(command) <= free and is_read_whole:
                return number
        return None

    def _admit(self, command: Command) -> Any:
        """Adds a text to the pipeline, which checks neither its context nor its vocabulary."""
        ids, limit = command["ids"], command["limit"]
        exported = self._exported
        if not ids or not 0 <= min(ids) <= max(ids) < exported.vocabulary:
            raise ValueError("a token id is out of the vocabulary")
        if not 0 < limit <= exported.context_tokens + 1 - len(ids):
            raise ValueError("the text does not fit the context")
        prompt = ov.Tensor(np.array([ids], dtype=np.int64))
        sampling = read_sampling(command, exported.eos_token_id)
        if self._forbidden is not None:
            sampling.stop_token_ids = {*sampling.stop_token_ids, self._forbidden}
        return self._pipeline.add_request(next(self._handle_numbers), prompt, sampling)

    def _cancel(self, number: int) -> None:
        was_waiting = self._waiting.pop(number, None) is not None
        live = self._live.pop(number, None)
        if live is not None:
            live.handle.cancel()
            self._has_cancelled = True
        if was_waiting or live is not None:
            self.send([[number, [], "ended"]])

    def _report(self) -> None:
        now = time.monotonic()
        news = [item for number in list(self._live) for item in self._news(number, now)]
        if news or now - self._sent_at >= PULSE_SECONDS:
            self.send(news)

    def _news(self, number: int, now: float) -> list[list[Any]]:
        live = self._live[number]
        # The state is read before the tokens, so that none can come in between.
        state = live.handle.get_status()
        # Reading when there is nothing blocks for ever, with Python's lock held.
        while live.handle.can_read():
            live.unread = 0
            for output in live.handle.read().values():
                live.new.extend(output.generated_ids)
        if state == genai.GenerationStatus.RUNNING:
            due = now - live.sent_at >= UPDATE_SECONDS
            tokens = live.new[live.sent : len(live.new) - self._held_back(live)] if due else []
            if tokens:
                live.sent, live.sent_at = live.sent + len(tokens), now
            return [[number, tokens, "more"]] if tokens else []
        del self._live[number]
        if state != genai.GenerationStatus.FINISHED:
            return [[number, live.new[live.sent :], "failed"]]
        kept = len(live.new) - self._held_back(live)
        if live.new[-1:] != [self._forbidden] or live.command["limit"] == kept:
            return [[number, live.new[live.sent :], "ended"]]
        redraws = live.command.get("redraws", 0) + 1
        if redraws > MAX_REDRAWS:
            ending = [*live.new[live.sent : kept], self._exported.eos_token_id]
            return [[number, ending, "ended"]]
        # Before all others: it gave up its slot just now.
        self._waiting = {number: _go_on(live, kept, redraws), **self._waiting}
        return [[number, live.new[live.sent : kept], "more"]]

    def _held_back(self, live: _Live) -> int:
        """How many of the last new tokens may turn out not to be written."""
        last = live.new[-1:]
        if last == [self._forbidden]:
            before = [*live.command["ids"][-1:], *live.new][-2]
            return (before in self._before_forbidden) * min(2, len(live.new))
        return int(bool(last) and last[0] in self._before_forbidden)


def _go_on(live: _Live, kept: int, redraws: int) -> Command:
    """What makes a text go on after its first `kept` new tokens, in another way than it did."""
    command = live.command
    free = {"temperature": max(1.0, command["temperature"]), "top_p": 1.0, "top_k": 0}
    return {
        **command,
        **(free if redraws >= FIRST_FREE_REDRAW else {}),
        "ids": [*command["ids"], *live.new[:kept]],
        "limit": command["limit"] - kept,
        "seed": (command["seed"] + REDRAW_SEED_STRIDE) % 2**32,
        "redraws": redraws,
        "is_begun": command.get("is_begun", False) or kept > 0,
    }


def _blocks(command: Command) -> int:
    """How many blocks of the cache a text takes at most."""
    tokens: int = len(command["ids"]) + command["limit"]
    return -(-tokens // BLOCK_TOKENS)


def read_sampling(command: Command, eos_token_id: int) -> Any:
    """A command's settings as OpenVINO GenAI takes them."""
    sampling = genai.GenerationConfig()
    sampling.max_new_tokens = command["limit"]
    sampling.do_sample = True
    sampling.temperature = command["temperature"]
    sampling.top_p = command["top_p"]
    if command["top_k"]:
        sampling.top_k = command["top_k"]
    sampling.repetition_penalty = command["repetition_penalty"]
    # A text is never empty.
    sampling.min_new_tokens = 0 if command.get("is_begun") else 1
    # Without a seed, every request would use the same one.
    sampling.rng_seed = command["seed"]
    sampling.set_eos_token_id(eos_token_id)
    sampling.validate()
    return sampling


def _listen(inbox: "SimpleQueue[Command | None]", lines: TextIO) -> None:
    # If the parent is killed, the last line may be incomplete.
    try:
        for line in lines:
            inbox.put(json.loads(line))
    finally:
        inbox.put(None)


def _private_output() -> TextIO:
    """The pipe to the parent; what libraries print to stdout goes to stderr from now on."""
    outbox = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return outbox


def main() -> int:
    """Loads the model, warms up, and works until the input ends."""
    # Ctrl-C reaches the whole process group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, options = sys.argv[1], json.loads(sys.argv[2])
    exported = Exported.read(Path(folder))
    if exported.source != options["source"]:
        sys.exit("The export was replaced under a running demo: restart the demo.")
    outbox = _private_output()
    inbox: SimpleQueue[Command | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(inbox, sys.stdin), daemon=True).start()
    slots, blocks = options["slots"], options["cache_blocks"]
    try:
        pipeline = open_pipeline(folder, slots, blocks, options["properties"])
        worker = Worker(pipeline, exported, slots, blocks, options["forbidden"], inbox, outbox)
        worker.warm_up()
    except (MemoryError, RuntimeError) as error:
        if lacks_memory(f"{type(error).__name__}: {error}"):
            os._exit(OUT_OF_MEMORY)
        raise
    release_mapped(Path(folder).resolve() / WEIGHTS)
    try:
        worker.send({"ready": True})
        worker.run()
    except BrokenPipeError:
        # The parent has ended. Leaving as usual would try to flush the pipe again, and complain.
        os._exit(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
