"""What every engine takes, gives and promises, and which one runs a checkpoint here.

Engines themselves are imported only when they are chosen: torch and transformers cost seconds and
hundreds of megabytes.
"""

import contextvars
import importlib.util
import queue
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from demo.checkpoints.files import CheckpointError
from demo.generation.request import GenerationRequest

if TYPE_CHECKING:
    from demo.checkpoints.resolve import Checkpoint
    from demo.settings import Settings

FinishReason = Literal["end_of_tweet", "length", "deadline"]
# Text is handed over at most about ten times a second: a browser that redraws at every token
# is slower than the model, and on two cores each update slows everybody's next token.
UPDATE_SECONDS = 0.1
# How often a stream that waits yields, so that its reader can leave.
HEARTBEAT_SECONDS = 0.5
# Messages of EngineError that several engines use.
BUSY = "The demo is busy. Try again in a minute."
FAILED = "Generation failed. Try again."
OUT_OF_RESOURCES = "The demo is out of resources. Try again in a minute."
SHUTTING_DOWN = "The demo is shutting down."
# On Linux, a GPU that torch could use has one of these: NVIDIA, AMD, Windows' Linux.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


class EngineError(RuntimeError):
    """Generation failed; the message is fit for a visitor and holds no internals."""


class UnusableServer(RuntimeError):
    """The completions server of the settings can never be used; the message is for the owner."""


@dataclass(frozen=True)
class Ending:
    """Why a text stopped and what it cost. `max_new_tokens` is the limit that applied: smaller
    than the one asked for if the context left less room."""

    reason: FinishReason
    prompt_tokens: int
    new_tokens: int
    max_new_tokens: int
    first_token_seconds: float
    seconds: float


@dataclass(frozen=True)
class Chunk:
    """A piece of new text; only the last chunk of a stream has an `ending`. An empty chunk without
    an ending is a moment at which a waiting reader may leave. `ids` are those of its tokens, where
    the engine tells them."""

    text: str
    ending: Ending | None = None
    ids: tuple[int, ...] = ()


WAITING = Chunk("")


@dataclass(frozen=True)
class EngineIdentity:
    """What must be known to reproduce a text: `revision` is a commit, or for a folder the first 12
    hexadecimal digits of the weights' sha256."""

    checkpoint: str
    revision: str
    engine: str
    precision: str


def source_line(identity: EngineIdentity, request: GenerationRequest) -> str:
    """Checkpoint, engine, seed and settings in one line: all that repeats a text but its prompt."""
    settings = request.settings()
    seed = settings.pop("seed")
    return " · ".join((
        f"{identity.checkpoint}@{identity.revision[:12]}",
        f"{identity.engine} {identity.precision}",
        f"seed {seed}",
        *(f"{name} {value:g}" for name, value in settings.items()),
    ))  # fmt: skip


@dataclass(frozen=True)
class WorkerState:
    """The process that an engine works in, if there is one now, and how often it was restarted."""

    pid: int | None = None
    restarts: int = 0


class Engine(Protocol):
    """Safe to call from many threads; no global seeds, no global stop flags. `slots` is how many
    texts it writes at once; more wait for their turn."""

    identity: EngineIdentity
    context_tokens: int
    slots: int

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        """Generates; closing the iterator cancels the work and frees its place. The same request
        gives the same text, alone or among others, unless the engine is a server elsewhere. The
        first piece comes at once, later ones about every `UPDATE_SECONDS`. Raises InvalidRequest
        from the first `next()`, if the prompt does not fit the context, EngineError if generation
        fails or a wait outlasts its deadline."""
        ...

    def count_tokens(self, text: str) -> int:
        """The number of tokens of a text, control tokens read as ordinary characters."""
        ...

    def health(self) -> bool:
        """True only if it could generate now."""
        ...

    def worker(self) -> WorkerState:
        """How the process is that it works in, if it is not this one."""
        return WorkerState()

    def close(self) -> None:
        """Cancels what is running and frees what is held."""
        ...


def coalesced(chunks: Generator[Chunk, None, None]) -> Generator[Chunk, None, None]:
    """The same text in fewer chunks: the first at once, then one every `UPDATE_SECONDS`."""
    shown, text = float("-inf"), ""
    with closing(chunks):
        for chunk in chunks:
            text += chunk.text
            due = time.monotonic() - shown >= UPDATE_SECONDS
            if chunk.ending or chunk == WAITING or due:
                yield Chunk(text, chunk.ending)
                shown, text = time.monotonic() if text else shown, ""


def stream_many(
    engine: Engine, requests: Sequence[GenerationRequest]
) -> Generator[tuple[int, Chunk | Exception], None, None]:
    """The chunks of all requests as they come, each with its request's index. A text that fails
    ends with its exception, and the others go on. Closing the iterator cancels all of them, and so
    does the EngineError that is raised if not every text could be started."""
    events: queue.SimpleQueue[tuple[int, Chunk | Exception]] = queue.SimpleQueue()
    cancelled = threading.Event()

    def read(index: int, request: GenerationRequest) -> None:
        try:
            with closing(engine.stream(request)) as stream:
                for chunk in stream:
                    # Only the thread that runs a generator may close it. A stream that waits
                    # yields every HEARTBEAT_SECONDS, so this is asked soon.
                    if cancelled.is_set():
                        return
                    events.put((index, chunk))
        except Exception as error:
            events.put((index, error))

    try:
        for index, request in enumerate(requests):
            # On ZeroGPU the context says whose quota is spent.
            run = contextvars.copy_context().run
            thread = threading.Thread(target=run, args=(read, index, request), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise EngineError(OUT_OF_RESOURCES) from error
        unfinished = len(requests)
        while unfinished:
            index, event = events.get()
            yield index, event
            unfinished -= isinstance(event, Exception) or event.ending is not None
    finally:
        cancelled.set()


def load_engine(
    checkpoint: "Checkpoint", settings: "Settings", say: Callable[[str], None]
) -> Engine:
    """The engine that is asked for; for `auto` transformers on a GPU, OpenVINO on a CPU where it
    can run the checkpoint, else transformers. `say` is told which, and why. Raises CheckpointError
    if the checkpoint cannot be run, UnusableServer if the server elsewhere cannot be used."""
    if settings.engine == "remote":
        from demo.generation.remote.engine import RemoteEngine  # noqa: PLC0415

        remote = RemoteEngine(checkpoint, settings, say)
        say(f"Engine: {remote.identity.engine}, at ENGINE_URL, because ENGINE says so.")
        return remote
    if settings.zero_gpu:
        from demo.generation.transformers_engine import ZeroGPUEngine  # noqa: PLC0415

        say("Engine: transformers, on ZeroGPU.")
        return ZeroGPUEngine(checkpoint, settings.slots, settings.deadline_seconds)
    if settings.engine == "transformers":
        why = "ENGINE says so."
    elif settings.engine == "auto" and has_gpu(settings.device):
        why = "there is a GPU."
    else:
        try:
            engine = _load_openvino(checkpoint, settings, say)
        except CheckpointError as error:
            if settings.engine == "openvino":
                raise
            why = f"OpenVINO cannot be taken: {error}"
        else:
            because = "there is no GPU" if settings.engine == "auto" else "ENGINE says so"
            say(f"Engine: OpenVINO, because {because}.")
            return engine
    say(f"Engine: transformers, because {why}")
    return _load_transformers(checkpoint, settings)


def has_gpu(device: str) -> bool:
    """Whether `device`, or for `auto` this machine, is a GPU; asks torch if there may be one."""
    if device != "auto":
        return device == "cuda"
    if sys.platform == "linux" and not any(Path(path).exists() for path in _GPU_DEVICES):
        return False
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()


def _load_openvino(
    checkpoint: "Checkpoint", settings: "Settings", say: Callable[[str], None]
) -> Engine:
    if importlib.util.find_spec("openvino_genai") is None:
        raise CheckpointError("openvino-genai is not installed.")
    from demo.generation.openvino.engine import OpenVINOEngine  # noqa: PLC0415
    from demo.generation.openvino.exported import exported_folder  # noqa: PLC0415

    return OpenVINOEngine(
        exported_folder(checkpoint, settings.cache_dir, say),
        checkpoint,
        slots=settings.slots,
        deadline_seconds=settings.deadline_seconds,
    )


def _load_transformers(checkpoint: "Checkpoint", settings: "Settings") -> Engine:
    from demo.generation.transformers_engine import TransformersEngine  # noqa: PLC0415

    return TransformersEngine(
        checkpoint, device=settings.device, deadline_seconds=settings.deadline_seconds
    )
