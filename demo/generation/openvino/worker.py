"""The process in which OpenVINO GenAI generates: token ids in, token ids out.

Knows continuous batching and nothing of text; must not import Gradio, transformers or the
app. A process of its own, because a step holds Python's lock for as long as the model
computes, and because a crash in there must not take the server along.

Lines of JSON come in: `{"add": id, "ids": […], "limit": n, …}` or `{"cancel": id}`; the end
of the input ends the process. Lines go out: `{"ready": true}` once, then a list of
`[id, [token, …], state]` with the state "more", "ended" or "failed".
"""

import argparse
import ctypes
import json
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

import numpy as np

from demo.generation.engine import UPDATE_SECONDS
from demo.generation.openvino.export_format import Exported
from demo.generation.openvino.runtime import genai, ov

# A prompt longer than this is read in several steps, between which others go on.
MAX_STEP_TOKENS = 256
# While it works, the parent hears from it at least this often.
PULSE_SECONDS = 1.0
# Tokens of the made-up request that brings the kernels up before the first visitor comes.
WARM_UP_TOKENS = 8
# A number that is used twice ruins the pipeline; the parent never counts this far.
WARM_UP_NUMBERS = (2**62, 2**62 + 1)

Command = Mapping[str, Any]


@dataclass
class _Live:
    """A request under way; `unsent` tokens wait until an update is due."""

    handle: Any
    unsent: list[int] = field(default_factory=list)
    sent_at: float = float("-inf")


class Worker:
    """Steps the pipeline while there is work, and reports after each step.

    Texts that have no slot yet wait here. Waiting in the pipeline, a text that was cancelled keeps
    its place until the next step; where such texts have all the places, that step has nothing to
    do, which the pipeline takes for lack of memory, and drops every other text.
    """

    def __init__(self, pipeline: Any, exported: Exported, slots: int,
                 inbox: "SimpleQueue[Command | None]", outbox: TextIO) -> None:  # fmt: skip
        self._pipeline = pipeline
        self._exported = exported
        self._slots = slots
        self._inbox = inbox
        self._outbox = outbox
        self._waiting: dict[int, Command] = {}
        self._live: dict[int, _Live] = {}
        # A text was cancelled since the last step: until that is made, it has its slot and cache.
        self._is_left = False
        self._said_at = 0.0

    def run(self) -> None:
        """Until the input ends."""
        while self._obey():
            self._admit_waiting()
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
            self._is_left = False
            self._report()

    def warm_up(self) -> None:
        """Generates a few tokens from noise, for several requests at once, and forgets them."""
        ids = [self._exported.mark] * WARM_UP_TOKENS
        command = {"ids": ids, "limit": 2, "temperature": 1.0, "top_p": 0.9,
                   "top_k": 0, "repetition_penalty": 1.1, "seed": 0}  # fmt: skip
        handles = [self._admit(number, command) for number in WARM_UP_NUMBERS]
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        del handles

    def say(self, message: object) -> None:
        """One line to the parent."""
        self._outbox.write(json.dumps(message, separators=(",", ":")) + "\n")
        self._outbox.flush()
        self._said_at = time.monotonic()

    def _obey(self) -> bool:
        """Takes every command that is there, waiting for one if nothing else is to be done."""
        while not self._has_work() or not self._inbox.empty():
            command = self._inbox.get()
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
        """First come, first served."""
        while self._waiting and not self._is_left and len(self._live) < self._slots:
            number = next(iter(self._waiting))
            self._try(number, self._waiting.pop(number))

    def _try(self, number: int, command: Command) -> None:
        try:
            self._live[number] = _Live(self._admit(number, command))
        except (RuntimeError, ValueError) as error:
            print(f"The engine refused a request: {error}", file=sys.stderr, flush=True)
            self.say([[number, [], "failed"]])

    def _admit(self, number: int, command: Command) -> Any:
        """The pipeline itself guards neither its context nor its vocabulary."""
        ids, limit = command["ids"], command["limit"]
        known = self._exported
        if not ids or not 0 <= min(ids) <= max(ids) < known.vocabulary:
            raise ValueError("a token id is out of the vocabulary")
        if not 0 < limit <= known.context_tokens + 1 - len(ids):
            raise ValueError("the text does not fit the context")
        prompt = ov.Tensor(np.array([ids], dtype=np.int64))
        return self._pipeline.add_request(number, prompt, _sampling(command, known.mark))

    def _cancel(self, number: int) -> None:
        was_waiting = self._waiting.pop(number, None) is not None
        live = self._live.pop(number, None)
        if live is not None:
            live.handle.cancel()
            self._is_left = True
        if was_waiting or live is not None:
            self.say([[number, [], "ended"]])

    def _report(self) -> None:
        now = time.monotonic()
        news = [item for number in list(self._live) for item in self._news(number, now)]
        if news or now - self._said_at >= PULSE_SECONDS:
            self.say(news)

    def _news(self, number: int, now: float) -> list[list[Any]]:
        live = self._live[number]
        # The state first, then the tokens: so none can come between.
        state = live.handle.get_status()
        # Reading where nothing is would block for ever, with Python's lock held.
        while live.handle.can_read():
            for output in live.handle.read().values():
                live.unsent.extend(output.generated_ids)
        is_over = state != genai.GenerationStatus.RUNNING
        if not is_over and (not live.unsent or now - live.sent_at < UPDATE_SECONDS):
            return []
        tokens, live.unsent, live.sent_at = live.unsent, [], now
        if not is_over:
            return [[number, tokens, "more"]]
        del self._live[number]
        finished = state == genai.GenerationStatus.FINISHED
        return [[number, tokens, "ended" if finished else "failed"]]


def _sampling(command: Command, mark: int) -> Any:
    sampling = genai.GenerationConfig()
    sampling.max_new_tokens = command["limit"]
    sampling.do_sample = True
    sampling.temperature = command["temperature"]
    sampling.top_p = command["top_p"]
    if command["top_k"]:
        sampling.top_k = command["top_k"]
    sampling.repetition_penalty = command["repetition_penalty"]
    # Without one, every request would use the same.
    sampling.rng_seed = command["seed"]
    sampling.set_eos_token_id(mark)
    sampling.validate()
    return sampling


def open_pipeline(folder: str, slots: int, cache_blocks: int, properties: Mapping[str, Any]) -> Any:
    """OpenVINO GenAI's continuous batching over an exported folder."""
    scheduler = genai.SchedulerConfig()
    scheduler.max_num_seqs = slots
    scheduler.num_kv_blocks = cache_blocks
    scheduler.max_num_batched_tokens = MAX_STEP_TOKENS
    # What one visitor typed must not be told apart by another through how fast it is read.
    scheduler.enable_prefix_caching = False
    return genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", dict(properties))


def release_mapped(file: Path) -> None:
    """Gives the pages of a memory-mapped file back to the kernel, which reads again what is
    touched again. OpenVINO rearranges weights into memory of its own when they are first used,
    and touches little of the file after that."""
    if sys.platform != "linux":
        return
    madvise = ctypes.CDLL(None).madvise
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
    for line in maps.splitlines():
        if line.endswith(f" {file}"):
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def _listen(inbox: "SimpleQueue[Command | None]", lines: TextIO) -> None:
    # A parent that is killed may leave half a line behind.
    try:
        for line in lines:
            inbox.put(json.loads(line))
    finally:
        inbox.put(None)


def _private_output() -> TextIO:
    """The parent's pipe, out of reach for whatever in the libraries prints."""
    outbox = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return outbox


def main() -> int:
    """Loads, warms up, says so, and works until the input ends."""
    # Ctrl-C reaches the whole group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--source", required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--cache-blocks", type=int, required=True)
    parser.add_argument("--properties", type=json.loads, required=True)
    arguments = parser.parse_args()
    exported = Exported.read(Path(arguments.folder))
    if exported.source != arguments.source:
        sys.exit("The export was replaced under a running demo: restart the demo.")
    outbox = _private_output()
    inbox: SimpleQueue[Command | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(inbox, sys.stdin), daemon=True).start()
    pipeline = open_pipeline(
        arguments.folder, arguments.slots, arguments.cache_blocks, arguments.properties
    )
    worker = Worker(pipeline, exported, arguments.slots, inbox, outbox)
    worker.warm_up()
    release_mapped(Path(arguments.folder).resolve() / "openvino_model.bin")
    worker.say({"ready": True})
    worker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
