"""The reference engine: transformers' text-generation pipeline, one request at a time.

Knows models, tokens and threads; must not know checkpoints' origins, HTTP or pages.
"""

import logging
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    pipeline,
)
from transformers.generation.streamers import BaseStreamer

from demo.checkpoints.resolve import Checkpoint, CheckpointError
from demo.checkpoints.weights import load_model
from demo.generation.engine import (
    HEARTBEAT_SECONDS,
    WAITING,
    Chunk,
    Ending,
    EngineError,
    EngineIdentity,
    FinishReason,
    coalesced,
)
from demo.generation.request import MIN_ROOM_TOKENS, GenerationRequest
from demo.generation.tokens import Opening, Tokens, Writing

# How long past its deadline a step may still run before the engine counts as stuck.
GRACE_SECONDS = 10.0

log = logging.getLogger(__name__)


class TransformersEngine:
    """An `Engine` on any device that torch has.

    Requests run one at a time, each in its own thread and with its own random numbers, so
    that a seed gives the same text whatever else is asked for meanwhile. `deadline_seconds`
    bounds a request from its first `next()`, the wait for its turn included.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "auto", deadline_seconds: float = 120.0
    ) -> None:
        """Loads the checkpoint; `device` is auto, cpu or cuda.

        Raises:
            CheckpointError: it cannot be loaded, or there is no such device.
        """
        device = _device(device)
        dtype = _dtype(device)
        model: Any
        tokenizer: Any
        model, tokenizer = load_model(checkpoint.folder, dtype, device)
        self.context_tokens = _context_tokens(checkpoint.name, model.config)
        self.identity = EngineIdentity(
            checkpoint=checkpoint.name,
            revision=checkpoint.revision,
            engine=f"transformers {transformers.__version__}",
            precision=str(dtype).removeprefix("torch."),
        )
        # The checkpoint's decoding defaults are for others: here every setting is in the request.
        model.generation_config = GenerationConfig.from_dict({})
        self._pipeline: Any = pipeline(
            "text-generation", model=model, tokenizer=tokenizer, device=device
        )
        backend: Any = tokenizer
        mark: int = backend.eos_token_id
        self._tokens = Tokens(backend.backend_tokenizer, mark, self.context_tokens)
        self._deadline_seconds = deadline_seconds
        self._place = threading.Lock()
        self._running: _Run | None = None
        self._failed = self._closed = False

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        """See `Engine.stream`."""
        run = _Run(request, self._tokens.opening(request), self._deadline_seconds)
        yield from self._take_place(run)
        try:
            threading.Thread(target=self._work, args=(run,), name="generation", daemon=True).start()
        except RuntimeError as error:
            self._place.release()
            raise EngineError("The demo is out of resources. Try again in a minute.") from error
        try:
            yield from coalesced(self._read(run))
        finally:
            run.cancelled.set()

    def count_tokens(self, text: str) -> int:
        """See `Engine.count_tokens`."""
        return len(self._tokens.encode(text))

    def health(self) -> bool:
        """False when closed, when a step has outlasted its deadline, or when generation has
        failed and a trial forward pass fails as well."""
        running = self._running
        if self._closed:
            return False
        if running is not None:
            return time.monotonic() < running.deadline + GRACE_SECONDS
        return not self._failed or self._trial()

    def close(self) -> None:
        """Ends the text under way, whose reader is told, and gives the model's memory back."""
        self._closed = True
        running = self._running
        if running is not None:
            running.cancelled.set()
        if self._place.acquire(timeout=GRACE_SECONDS):
            self._pipeline = None
            self._place.release()

    def _take_place(self, run: "_Run") -> Generator[Chunk, None, None]:
        while not self._place.acquire(timeout=min(HEARTBEAT_SECONDS, run.seconds_left())):
            if run.seconds_left() <= 0:
                raise EngineError("The demo is busy. Try again in a minute.")
            yield WAITING
        if self._closed:
            self._place.release()
            raise EngineError("The demo is shutting down.")
        self._running = run

    def _work(self, run: "_Run") -> None:
        """The thread of one request: gives up its place within a token of being cancelled."""
        outcome: Exception | None = None
        try:
            self._generate(run)
        except Exception as error:
            log.exception("Generation failed.")
            outcome = error
        self._failed = outcome is not None
        self._running = None
        self._place.release()
        run.outbox.put(outcome)

    def _generate(self, run: "_Run") -> None:
        model = self._pipeline.model
        ids = torch.tensor([run.opening.ids], device=model.device)
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=_greedy(run.opening.limit, self._tokens.mark),
            logits_processor=_processors(run.request),
            stopping_criteria=StoppingCriteriaList([_Halt(run)]),
            streamer=_Feed(run),
        )

    def _read(self, run: "_Run") -> Generator[Chunk, None, None]:
        writing = Writing(self._tokens, run.opening)
        first_seconds = 0.0
        for token in run.tokens():
            first_seconds = first_seconds or run.seconds()
            piece = writing.add([token])
            if piece:
                yield Chunk(piece)
        counts = (run.opening.prompt_tokens, writing.new_tokens, run.opening.limit)
        reason = self._reason(run, writing)
        yield Chunk(writing.rest(), Ending(reason, *counts, first_seconds, run.seconds()))

    def _reason(self, run: "_Run", writing: Writing) -> FinishReason:
        if writing.is_closed:
            return "end_of_tweet"
        if writing.new_tokens == run.opening.limit:
            return "length"
        if self._closed:
            raise EngineError("The demo is shutting down.")
        return "deadline"

    def _trial(self) -> bool:
        if not self._place.acquire(blocking=False):
            return True
        try:
            model = self._pipeline.model
            with torch.inference_mode():
                model(torch.tensor([[self._tokens.mark]], device=model.device))
            self._failed = False
        except Exception:
            log.exception("The trial forward pass failed.")
        finally:
            self._place.release()
        return not self._failed


@dataclass(frozen=True)
class _Run:
    """One request under way: `outbox` carries new token ids, then None or what went wrong."""

    request: GenerationRequest
    opening: Opening
    deadline_seconds: float
    started: float = field(default_factory=time.monotonic)
    cancelled: threading.Event = field(default_factory=threading.Event)
    outbox: "SimpleQueue[int | Exception | None]" = field(default_factory=SimpleQueue)

    @property
    def deadline(self) -> float:
        """On the monotonic clock."""
        return self.started + self.deadline_seconds

    def seconds(self) -> float:
        """Since the request came."""
        return time.monotonic() - self.started

    def seconds_left(self) -> float:
        """Until the deadline; never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def tokens(self) -> Iterator[int]:
        """New token ids as they come, until the end or the deadline.

        Raises:
            EngineError: generation failed.
        """
        while True:
            try:
                token = self.outbox.get(timeout=self.seconds_left())
            except Empty:
                return
            if token is None:
                return
            if isinstance(token, Exception):
                raise EngineError("Generation failed. Try again.")
            yield token


class _Sampler(LogitsProcessor):
    """Adds Gumbel noise from the request's own generator: the largest sum is a sample of
    softmax(scores) (Gumbel 1954; "Gumbel-max"). The noise is drawn on the CPU, so that a
    seed means the same on every device."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        noise = torch.rand(scores.shape, generator=self._generator).log_().neg_().log_()
        return scores - noise.to(scores.device)


class _Halt(StoppingCriteria):
    """Stops after the token under way, once nobody reads or the deadline has passed."""

    def __init__(self, run: _Run) -> None:
        self._run = run

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        stop = self._run.cancelled.is_set() or self._run.seconds_left() <= 0
        return torch.full((input_ids.shape[0],), stop, device=input_ids.device)


class _Feed(BaseStreamer):
    """Hands each new token id to the reader."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._is_prompt = True

    def put(self, value: Tensor) -> None:
        """The prompt comes first, and is not news."""
        if not self._is_prompt:
            self._run.outbox.put(int(value.item()))
        self._is_prompt = False

    def end(self) -> None:
        """The worker tells the end, whatever it was."""


def _greedy(limit: int, mark: int) -> GenerationConfig:
    """Takes the largest score: drawing is the processors' affair."""
    settings = {"do_sample": False, "max_new_tokens": limit}
    marks = {"bos_token_id": mark, "eos_token_id": mark, "pad_token_id": mark}
    return GenerationConfig.from_dict({**settings, **marks})


def _processors(request: GenerationRequest) -> LogitsProcessorList:
    """What `generate()` would apply for these settings, in its order, then the draw."""
    processors = LogitsProcessorList()
    if request.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(request.repetition_penalty))
    if request.temperature != 1:
        processors.append(TemperatureLogitsWarper(request.temperature))
    if request.top_k:
        processors.append(TopKLogitsWarper(request.top_k))
    if request.top_p < 1:
        processors.append(TopPLogitsWarper(request.top_p))
    assert request.seed is not None
    processors.append(_Sampler(request.seed))
    return processors


def _device(wanted: str) -> str:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("DEVICE is cuda, but torch sees no GPU: set it to auto or cpu.")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def _dtype(device: str) -> torch.dtype:
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _context_tokens(name: str, config: Any) -> int:
    for key in ("max_position_embeddings", "n_positions"):
        tokens = getattr(config, key, None)
        if isinstance(tokens, int) and tokens > 2 * MIN_ROOM_TOKENS:
            return tokens
    raise CheckpointError(f"The config.json of {name} does not say a context of use.")
