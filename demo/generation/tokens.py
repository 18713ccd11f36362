"""Text to token ids and back, with `tokenizers` alone: importing transformers takes seconds."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import regex
from tokenizers import Tokenizer

from demo.checkpoints.files import TOKENIZER, CheckpointError, require_file
from demo.generation.engine import HEARTBEAT_SECONDS, Ending, FinishReason
from demo.generation.request import MIN_ROOM_TOKENS, GenerationRequest, InvalidRequest
from demo.judging.canonical import ANONYMOUS_HANDLE

# Control characters, as no prompt may hold them, and what bytes that are no character decode to.
_UNREADABLE = regex.compile(r"[[\p{Cc}\N{REPLACEMENT CHARACTER}]--[\t\n\r]]", regex.VERSION1)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder; raises CheckpointError if it cannot be read."""
    path = require_file(folder, TOKENIZER)
    # `tokenizers` raises no more specific exception.
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise CheckpointError(f"The tokenizer in {folder} cannot be read.") from error


@dataclass(frozen=True)
class EncodedPrompt:
    """What a model is given: `ids` begin with the end-of-text token, which also opens a document;
    `limit` is how many new tokens it may add."""

    ids: list[int]
    limit: int


@dataclass(frozen=True)
class ForbiddenPair:
    """A token, and those after which no engine may write it: ids, and these pairs as `words`."""

    token: int
    after: frozenset[int]
    words: tuple[str, ...] = ()


class Tokens:
    """A checkpoint's tokenizer; safe to use from many threads. `eos_token_id` opens and closes a
    document; `context_tokens` is the model's context."""

    def __init__(self, tokenizer: Tokenizer, eos_token_id: int, context_tokens: int) -> None:
        self._tokenizer = tokenizer
        # A control token typed by a visitor is ordinary characters.
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.eos_token_id = eos_token_id
        self.context_tokens = context_tokens
        self.forbidden = _anonymous_handle(tokenizer)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_prompt(self, request: GenerationRequest) -> EncodedPrompt:
        """The request's prompt, and its length cut to the context. Raises InvalidRequest."""
        ids = self.encode(request.opening)
        most = self.context_tokens - MIN_ROOM_TOKENS
        if len(ids) > most:
            raise InvalidRequest(
                f"Prompt is {len(ids)} tokens; this checkpoint takes at most {most}. Shorten it."
            )
        # The opening token takes a position, but the last new token takes none.
        limit = min(request.max_new_tokens, self.context_tokens - len(ids))
        return EncodedPrompt([self.eos_token_id, *ids], limit)

    def decode_continuation(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        """What the new ids add to the prompt's text: alone, they could lose a leading space."""
        return self._decode([*prompt, *new])[len(self._decode(prompt)) :]

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def _anonymous_handle(tokenizer: Tokenizer) -> ForbiddenPair | None:
    """`@user`, which stands for private people in the data that a model learns from, and which no
    reader knows. None if the tokenizer has no token for what follows the `@`."""
    at, name = ANONYMOUS_HANDLE[:1], ANONYMOUS_HANDLE[1:]
    vocabulary = tokenizer.get_vocab()
    if name not in vocabulary:
        return None
    after = frozenset(number for token, number in vocabulary.items() if token.endswith(at))
    user = vocabulary[name]
    words = {str(tokenizer.decode([first, user])).strip() for first in after}
    return ForbiddenPair(user, after, tuple(sorted(words)))


def readable(text: str) -> str:
    """A model's text without control characters, and without bytes that are no character."""
    return str(_UNREADABLE.sub("", text))


@dataclass
class Progress:
    """One text under way: its tokens, as they come, and its clock, which starts when it is made."""

    tokens: Tokens
    prompt: EncodedPrompt
    deadline_seconds: float
    started: float = field(default_factory=time.monotonic)
    first_token_seconds: float = 0.0
    # The end-of-text token included.
    new: list[int] = field(default_factory=list)
    # What is heard of it from where it is written.
    events: "SimpleQueue[Any]" = field(default_factory=SimpleQueue)
    _returned: str = ""

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def seconds_left(self) -> float:
        """Until the deadline; never negative."""
        return max(0.0, self.deadline_seconds - self.seconds())

    def next_event(self) -> Any:
        """Waits for an event; None if none has come by the next heartbeat, or the deadline."""
        with suppress(Empty):
            return self.events.get(timeout=min(HEARTBEAT_SECONDS, self.seconds_left()))
        return None

    @property
    def has_ended(self) -> bool:
        """True once the end-of-text token came."""
        return self.new[-1:] == [self.tokens.eos_token_id]

    def add(self, ids: Sequence[int]) -> str:
        """The text that these tokens complete; empty while a character is incomplete."""
        if ids and not self.new:
            self.first_token_seconds = self.seconds()
        self.new.extend(ids)
        text = readable(self.tokens.decode_continuation(self.prompt.ids, self.new))
        piece = text[len(self._returned) :]
        self._returned += piece
        return piece

    def end(self, reason: FinishReason) -> Ending:
        prompt_tokens, clock = len(self.prompt.ids) - 1, (self.first_token_seconds, self.seconds())
        return Ending(reason, prompt_tokens, len(self.new), self.prompt.limit, *clock)
