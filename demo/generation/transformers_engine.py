"""The reference engine, for every device: transformers' pipeline, one request at a time."""

import logging
import threading
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    pipeline,
)

from demo.checkpoints.files import CheckpointError
from demo.checkpoints.persona import persona_of
from demo.checkpoints.resolve import Checkpoint
from demo.checkpoints.weights import load_model
from demo.generation.endings import end_within
from demo.generation.engine import (
    BUSY,
    FAILED,
    HEARTBEAT_SECONDS,
    OUT_OF_RESOURCES,
    SHUTTING_DOWN,
    WAITING,
    Chunk,
    Engine,
    EngineError,
    EngineIdentity,
    FinishReason,
    coalesced,
    has_gpu,
)
from demo.generation.request import MIN_ROOM_TOKENS, GenerationRequest
from demo.generation.tokens import Progress, Tokens

# How long past its deadline a step may still run before the engine counts as stuck.
GRACE_SECONDS = 10.0
# Seconds of GPU that are booked on ZeroGPU for one text. A visitor's quota is counted by what is
# booked, and a tweet takes about two.
BOOKED_SECONDS = 15

log = logging.getLogger(__name__)


class TransformersEngine(Engine):
    """An `Engine` on any device that torch has. Requests run one at a time, each in its own thread
    and with its own random numbers. `deadline_seconds` bounds a request from its first `next()`,
    the wait for its turn included."""

    slots = 1

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "auto", deadline_seconds: float = 120.0
    ) -> None:
        """Loads the checkpoint; `device` is auto, cpu or cuda. Raises CheckpointError."""
        device = _device(device)
        dtype = _dtype(device)
        model: Any
        tokenizer: Any
        model, tokenizer = load_model(checkpoint.folder, dtype, device)
        self.context_tokens = getattr(model.config, "max_position_embeddings", 0)
        if self.context_tokens <= 2 * MIN_ROOM_TOKENS:
            raise CheckpointError(
                f"The config.json of {checkpoint.name} does not say a context of use."
            )
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
        self._tokens = Tokens(
            tokenizer.backend_tokenizer, tokenizer.eos_token_id, self.context_tokens
        )
        self._deadline_seconds = deadline_seconds
        self._longest = persona_of(checkpoint.folder).max_characters
        self._place = threading.Lock()
        self._running: _Run | None = None
        self._failed = self._closed = False

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        limits = self._longest, self._deadline_seconds
        yield from end_within(*limits, request, self._write, self.count_tokens)

    def _write(self, request: GenerationRequest, seconds: float) -> Generator[Chunk, None, None]:
        run = _Run(self._tokens, self._tokens.encode_prompt(request), seconds)
        yield from self._take_place(run)
        work = threading.Thread(
            target=self._work, args=(run, request), name="generation", daemon=True
        )
        try:
            work.start()
        except RuntimeError as error:
            self._running = None
            self._place.release()
            raise EngineError(OUT_OF_RESOURCES) from error
        try:
            yield from coalesced(self._read(run))
        finally:
            run.cancelled.set()

    def count_tokens(self, text: str) -> int:
        return len(self._tokens.encode(text))

    def health(self) -> bool:
        """False when closed, when a step has outlasted its deadline, or when generation has
        failed and a trial forward pass fails as well."""
        running = self._running
        if self._closed:
            return False
        if running is not None:
            return running.seconds() < self._deadline_seconds + GRACE_SECONDS
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
                raise EngineError(BUSY)
            yield WAITING
        if self._closed:
            self._place.release()
            raise EngineError(SHUTTING_DOWN)
        self._running = run

    def _work(self, run: "_Run", request: GenerationRequest) -> None:
        """The thread of one request: gives up its place within a token of being cancelled."""
        outcome: Exception | None = None
        try:
            self._generate(run, request)
        except Exception as error:
            log.exception("Generation failed.")
            outcome = error
        self._failed = outcome is not None
        self._running = None
        self._place.release()
        run.events.put(outcome)

    def _generate(self, run: "_Run", request: GenerationRequest) -> None:
        ids = torch.tensor([run.prompt.ids])
        # Not the whole pipeline: it would read a typed <|endoftext|> as the end-of-text token.
        self._pipeline.forward(
            {"input_ids": ids, "attention_mask": torch.ones_like(ids), "prompt_text": ""},
            generation_config=_greedy(run.prompt.limit, self._tokens.eos_token_id),
            logits_processor=self._processors(request, len(run.prompt.ids)),
            stopping_criteria=StoppingCriteriaList([_Outbox(run)]),
        )

    def _processors(self, request: GenerationRequest, prompt_tokens: int) -> LogitsProcessorList:
        """What `generate()` would apply for these settings, in its order, then the random draw."""
        eos, forbidden = self._tokens.eos_token_id, self._tokens.forbidden
        processors = LogitsProcessorList()
        if request.repetition_penalty != 1:
            processors.append(RepetitionPenaltyLogitsProcessor(request.repetition_penalty))
        if forbidden:
            pairs = [[first, forbidden.token] for first in sorted(forbidden.after)]
            processors.append(NoBadWordsLogitsProcessor(pairs, eos))
        processors.append(MinNewTokensLengthLogitsProcessor(prompt_tokens, 1, eos))
        if request.temperature != 1:
            processors.append(TemperatureLogitsWarper(request.temperature))
        if request.top_k:
            processors.append(TopKLogitsWarper(request.top_k))
        if request.top_p < 1:
            processors.append(TopPLogitsWarper(request.top_p))
        assert request.seed is not None
        processors.append(_Sampler(request.seed))
        return processors

    def _read(self, run: "_Run") -> Generator[Chunk, None, None]:
        """Token ids as they come, until None, what went wrong, or the deadline."""
        with suppress(Empty):
            while (token := run.events.get(timeout=run.seconds_left())) is not None:
                if isinstance(token, Exception):
                    raise EngineError(FAILED)
                if piece := run.add([token]):
                    yield Chunk(piece)
        yield Chunk("", run.end(self._reason(run)))

    def _reason(self, run: "_Run") -> FinishReason:
        if run.has_ended:
            return "end_of_tweet"
        if len(run.new) == run.prompt.limit:
            return "length"
        if self._closed:
            raise EngineError(SHUTTING_DOWN)
        return "deadline"

    def _trial(self) -> bool:
        if not self._place.acquire(blocking=False):
            return True
        try:
            model = self._pipeline.model
            with torch.inference_mode():
                model(torch.tensor([[self._tokens.eos_token_id]], device=model.device))
            self._failed = False
        except Exception:
            log.exception("The trial forward pass failed.")
        finally:
            self._place.release()
        return not self._failed


class ZeroGPUEngine(TransformersEngine):
    """On Hugging Face's ZeroGPU, which lends a GPU for each text: the model is held on what
    ZeroGPU calls cuda, and each stream runs in a process that has the GPU."""

    def __init__(self, checkpoint: Checkpoint, slots: int, deadline_seconds: float) -> None:
        """To be called before the page is launched: then ZeroGPU collects its functions."""
        # A package that only a ZeroGPU Space has; the app has imported it before torch.
        import spaces  # noqa: PLC0415

        super().__init__(checkpoint, device="cuda", deadline_seconds=deadline_seconds)
        self.slots = slots
        self._stream_on_gpu = spaces.GPU(duration=BOOKED_SECONDS)(super().stream)

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        yield from self._stream_on_gpu(request)


@dataclass
class _Run(Progress):
    """One request under way."""

    cancelled: threading.Event = field(default_factory=threading.Event)


class _Sampler(LogitsProcessor):
    """Adds Gumbel noise from the request's own generator: the largest sum is a sample of
    softmax(scores) (Gumbel 1954; "Gumbel-max"). The noise is drawn on the CPU, so that a
    seed means the same on every device."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        noise = torch.rand(scores.shape, generator=self._generator).log_().neg_().log_()
        return scores - noise.to(scores.device)


class _Outbox(StoppingCriteria):
    """Hands each new token to the reader; stops once nobody reads, or after the deadline."""

    def __init__(self, run: _Run) -> None:
        self._run = run

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        self._run.events.put(int(input_ids[0, -1]))
        stop = self._run.cancelled.is_set() or self._run.seconds_left() <= 0
        return torch.full((input_ids.shape[0],), stop, device=input_ids.device)


def _greedy(limit: int, eos_token_id: int) -> GenerationConfig:
    """Takes the largest score: the processors have added the randomness."""
    roles = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), eos_token_id)
    return GenerationConfig.from_dict({"do_sample": False, "max_new_tokens": limit, **roles})


def _device(wanted: str) -> str:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("DEVICE is cuda, but torch sees no GPU: set it to auto or cpu.")
    return "cuda" if has_gpu(wanted) else "cpu"


def _dtype(device: str) -> torch.dtype:
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
