"""The Engine protocol: what every engine takes, gives and promises.

Knows requests and chunks; must not know how any engine works inside.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, Protocol

from demo.generation.request import GenerationRequest

FinishReason = Literal["end_of_tweet", "length", "deadline"]


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
    """A piece of new text; the last chunk of a stream, and only that one, has an `ending`."""

    text: str
    ending: Ending | None = None


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

        The same request gives the same text, alone or among others.

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
