"""The Engine protocol: what every engine takes, gives and promises.

Knows requests and chunks; must not know how any engine works inside.
"""

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, Protocol

from demo.generation.request import GenerationRequest

EngineName = Literal["auto", "openvino", "transformers"]
FinishReason = Literal["end_of_tweet", "length", "deadline"]
# Text is handed over at most about ten times a second: a browser that redraws at every token
# is slower than the model, and on two cores each update is paid for by everybody's next token.
UPDATE_SECONDS = 0.1
# How often a request that waits lets its reader look up, and leave.
HEARTBEAT_SECONDS = 0.5


class EngineError(RuntimeError):
    """Generation failed; the message is fit for a visitor and holds no internals."""


@dataclass(frozen=True)
class Ending:
    """Why a text stopped and what it cost. `max_new_tokens` is the limit that applied:
    smaller than the one asked for when the context left less room."""

    reason: FinishReason
    prompt_tokens: int
    new_tokens: int
    max_new_tokens: int
    first_token_seconds: float
    seconds: float


@dataclass(frozen=True)
class Chunk:
    """A piece of new text; the last chunk of a stream, and only that one, has an `ending`.
    One that is empty and no ending is a moment at which a waiting reader may leave."""

    text: str
    ending: Ending | None = None


WAITING = Chunk("")


@dataclass(frozen=True)
class EngineIdentity:
    """What a text must name to be reproduced: `revision` is a commit, or the first
    12 hexadecimal digits of the weights' sha256 for a folder."""

    checkpoint: str
    revision: str
    engine: str
    precision: str


class Engine(Protocol):
    """Safe to call from many threads; no global seeds, no global stop flags."""

    identity: EngineIdentity
    context_tokens: int

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        """Generates; closing the iterator cancels the work and frees its place.

        The same request gives the same text, alone or among others. The first piece comes as
        soon as it is there, later ones about every `UPDATE_SECONDS`.

        Raises:
            InvalidRequest: from the first `next()`, if the prompt does not fit the context.
            EngineError: if generation fails or a wait outlasts its deadline.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """The number of tokens of a text, control tokens read as ordinary characters."""
        ...

    def health(self) -> bool:
        """True only if it could generate now."""
        ...

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
