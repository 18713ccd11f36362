"""The CPU engine: OpenVINO GenAI's continuous batching, in a process of its own."""

import itertools
import json
import time
from collections.abc import Generator
from importlib.metadata import version
from pathlib import Path

from demo.checkpoints.files import CheckpointError
from demo.checkpoints.persona import persona_of
from demo.checkpoints.resolve import Checkpoint
from demo.generation.endings import end_within
from demo.generation.engine import (
    BUSY,
    FAILED,
    HEARTBEAT_SECONDS,
    SHUTTING_DOWN,
    WAITING,
    Chunk,
    Engine,
    EngineError,
    EngineIdentity,
    FinishReason,
    WorkerState,
)
from demo.generation.openvino.exported import BLOCK_TOKENS, WEIGHTS, Exported
from demo.generation.openvino.process import STALL_SECONDS, START_SECONDS, Event, WorkerProcess
from demo.generation.request import (
    FIELDS,
    MAX_PROMPT_CHARACTERS,
    GenerationRequest,
    InvalidRequest,
)
from demo.generation.tokens import EncodedPrompt, Progress, Tokens, read_tokenizer
from demo.subprocesses import address_space, memory_bytes, not_enough_memory

# Activations and the cache are quantised, as the plugin does by default, but not to bfloat16: on a
# CPU with AMX that took a third longer for one visitor, and elsewhere won nothing. By default the
# plugin quantises the keys of 32 tokens together, and anew with each token: a text would depend on
# how its prompt was cut into steps.
SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "64",
    "KV_CACHE_PRECISION": "u8",
    "KEY_CACHE_QUANT_MODE": "BY_TOKEN",
}
# A byte, and its share of a scale and a zero point.
CACHE_BYTES_PER_VALUE = 1.25
CACHE_SHARE_OF_MEMORY = 1 / 8
# Room in the cache for each slot. OpenVINO takes fresh blocks until all were used once, so this is
# what the cache grows to; a tweet and its prompt take about 80 tokens. If several texts are longer,
# some wait for their turn.
CACHE_TOKENS_PER_SLOT = 256
# A character is at most four bytes, and a token at least one.
LONGEST_REQUEST_TOKENS = 4 * MAX_PROMPT_CHARACTERS + int(FIELDS["max_new_tokens"].maximum)
# Address space of a worker, measured: it reserves more than it uses.
WORKER_BYTES = 10**9
WORKER_BYTES_PER_WEIGHT = 3
# How long a request waits for a worker that is being restarted.
RESTART_PATIENCE_SECONDS = 15.0
LOST = "The engine stopped and is being restarted. Try again in a moment."
_ERRORS = {"lost": LOST, "closed": SHUTTING_DOWN, "failed": FAILED}
_numbers = itertools.count(1)
_NOTHING_YET = Event([], "more")


class OpenVINOEngine(Engine):
    """An `Engine` that writes `slots` texts at once in one batch, which texts join and leave;
    `worker` says how far they are independent. `deadline_seconds` bounds a request from its first
    `next()`. Top-p is applied before top-k, as OpenVINO does it."""

    def __init__(
        self,
        folder: Path,
        checkpoint: Checkpoint,
        *,
        slots: int,
        deadline_seconds: float = 120.0,
        cache_bytes: int | None = None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        """Starts the worker over an export of the checkpoint, and returns once it could generate.
        `cache_bytes` is the size of the key-value cache, by default at most an eighth of the
        memory. Raises CheckpointError if the folder cannot be read, or the worker does not start,
        NotEnoughMemory if it has too little memory to start."""
        exported = Exported.read(folder)
        tokenizer = read_tokenizer(folder)
        if tokenizer.get_vocab_size() > exported.vocabulary:
            raise CheckpointError(f"The tokenizer in {folder} does not fit its model.")
        self.tokens = Tokens(tokenizer, exported.eos_token_id, exported.context_tokens)
        self.vocabulary = exported.vocabulary
        self.context_tokens = exported.context_tokens
        self.slots = slots
        self.identity = EngineIdentity(
            checkpoint=checkpoint.name,
            revision=checkpoint.revision,
            engine=f"OpenVINO {version('openvino-genai')}",
            precision=exported.precision,
        )
        self._deadline_seconds = deadline_seconds
        self._longest = persona_of(checkpoint.folder).max_characters
        blocks = _cache_blocks(exported, slots, cache_bytes)
        self._cache_tokens = blocks * BLOCK_TOKENS
        forbidden = self.tokens.forbidden
        options = {
            "source": exported.source,
            "forbidden": forbidden and [forbidden.token, sorted(forbidden.after)],
            "slots": slots,
            "cache_blocks": blocks,
            "properties": SETTINGS,
        }
        weights = (folder / WEIGHTS).stat().st_size
        needed = WORKER_BYTES + WORKER_BYTES_PER_WEIGHT * weights
        # With somewhat less it would start, and then cut texts.
        if address_space() < needed:
            raise not_enough_memory(needed, f"Running {checkpoint.name}")
        self._worker = WorkerProcess((str(folder), json.dumps(options)), stall_seconds)
        if not self._worker.wait_for_start(START_SECONDS):
            self.close()
            if self._worker.lacks_memory:
                raise not_enough_memory(needed, f"Running {checkpoint.name}")
            raise CheckpointError("OpenVINO's worker process did not start; the log says more.")

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        limits = self._longest, self._deadline_seconds
        yield from end_within(*limits, request, self._write, self.count_tokens)

    def _write(self, request: GenerationRequest, seconds: float) -> Generator[Chunk, None, None]:
        yield from self.stream_prompt(self.tokens.encode_prompt(request), request, seconds)

    def stream_prompt(
        self, prompt: EncodedPrompt, request: GenerationRequest, seconds: float | None = None
    ) -> Generator[Chunk, None, None]:
        """Continues a prompt of token ids, with the request's settings; each chunk has its ids. Ids
        that the model does not know, or that do not fit its context, fail."""
        needed = len(prompt.ids) + prompt.limit
        if needed > self._cache_tokens:
            raise InvalidRequest(
                f"Prompt and length come to {needed} tokens; this server keeps at most "
                f"{self._cache_tokens} at a time. Shorten one of them."
            )
        deadline = self._deadline_seconds if seconds is None else seconds
        run, number = Progress(self.tokens, prompt, deadline), next(_numbers)
        yield from self._wait_for_worker(run)
        settings = {name: v for name, v in request.settings().items() if name != "max_new_tokens"}
        try:
            command = {"ids": prompt.ids, "limit": prompt.limit, **settings}
            self._worker.add(number, run.events, command)
            yield from self._read(run)
        finally:
            self._worker.forget(number)

    def count_tokens(self, text: str) -> int:
        return len(self.tokens.encode(text))

    def health(self) -> bool:
        """False while the worker is being restarted, or was silent for too long."""
        return self._worker.is_healthy()

    def worker(self) -> WorkerState:
        return self._worker.state()

    def close(self) -> None:
        """Ends the worker process, and with an error the texts that it was writing."""
        self._worker.close()

    def _wait_for_worker(self, run: Progress) -> Generator[Chunk, None, None]:
        patience = time.monotonic() + min(RESTART_PATIENCE_SECONDS, run.seconds_left())
        while not self._worker.ready.wait(HEARTBEAT_SECONDS):
            if self._worker.is_closing():
                raise EngineError(SHUTTING_DOWN)
            if time.monotonic() > patience:
                raise EngineError("The demo is restarting. Try again in a minute.")
            yield WAITING

    def _read(self, run: Progress) -> Generator[Chunk, None, None]:
        while True:
            event = run.next_event() or _NOTHING_YET
            piece, ids = run.add(event.tokens), tuple(event.tokens)
            if reason := _reason(run, event):
                yield Chunk(piece, run.end(reason), ids)
                return
            yield Chunk(piece, ids=ids)


def _reason(run: Progress, event: Event) -> FinishReason | None:
    """Why the text is over, or None if it goes on. Raises EngineError if it cannot."""
    if event.state in _ERRORS:
        raise EngineError(_ERRORS[event.state])
    if event.state == "ended":
        return "end_of_tweet" if run.has_ended else "length"
    if run.seconds_left() > 0:
        return None
    if not run.new:
        raise EngineError(BUSY)
    return "deadline"


def _cache_blocks(exported: Exported, slots: int, cache_bytes: int | None) -> int:
    """Blocks for every slot's share and for the longest request, as far as the memory allows."""
    per_token = exported.cache_values_per_token * CACHE_BYTES_PER_VALUE
    affordable = (cache_bytes or memory_bytes() * CACHE_SHARE_OF_MEMORY) / per_token / BLOCK_TOKENS
    longest = min(exported.context_tokens + 1, LONGEST_REQUEST_TOKENS)
    usable = -(-max(slots * CACHE_TOKENS_PER_SLOT, longest) // BLOCK_TOKENS)
    return max(1, min(int(affordable), usable))
