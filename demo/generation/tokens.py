"""Text to token ids and back, for every engine, with `tokenizers` alone.

Knows a tokenizer, a closing mark and a context; must not know models or how tokens are drawn.
Importing transformers for this would cost a start on a CPU seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from demo.generation.request import MIN_ROOM_TOKENS, GenerationRequest, InvalidRequest

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Opening:
    """What a model is given: `ids` begin with the mark, `limit` is how many new tokens fit."""

    ids: list[int]
    limit: int

    @property
    def prompt_tokens(self) -> int:
        """The prompt's own, without the mark."""
        return len(self.ids) - 1


class Tokens:
    """A checkpoint's tokenizer; safe to use from many threads.

    `mark` is the id that opens and closes a document, `context_tokens` what the model takes.
    """

    def __init__(self, tokenizer: Tokenizer, mark: int, context_tokens: int) -> None:
        self._tokenizer = tokenizer
        # A control token typed by a visitor is ordinary characters.
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.mark = mark
        self.context_tokens = context_tokens

    def encode(self, text: str) -> list[int]:
        """Ids without a mark."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def opening(self, request: GenerationRequest) -> Opening:
        """The request's prompt, with the length cut to what the context leaves.

        Raises:
            InvalidRequest: the prompt leaves no room for new tokens.
        """
        prompt = self.encode(request.opening)
        most = self.context_tokens - MIN_ROOM_TOKENS
        if len(prompt) > most:
            raise InvalidRequest(
                f"Prompt is {len(prompt)} tokens; this checkpoint takes at most {most}. Shorten it."
            )
        # The opening mark takes a position, but the last new token takes none.
        limit = min(request.max_new_tokens, self.context_tokens - len(prompt))
        return Opening([self.mark, *prompt], limit)

    def continuation(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        """What the new ids add to the prompt's text: alone, they could lose a leading space."""
        return self._decode([*prompt, *new])[len(self._decode(prompt)) :]

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


class Writing:
    """One text as its tokens come: gives pieces that never split a character."""

    def __init__(self, tokens: Tokens, opening: Opening) -> None:
        self._tokens, self._opening = tokens, opening
        self._new: list[int] = []
        self._shown = ""

    @property
    def new_tokens(self) -> int:
        """How many came so far, a closing mark included."""
        return len(self._new)

    @property
    def is_closed(self) -> bool:
        """True once the closing mark came."""
        return bool(self._new) and self._new[-1] == self._tokens.mark

    def add(self, ids: Sequence[int]) -> str:
        """The text that these tokens settle; empty while a character is incomplete."""
        self._new.extend(ids)
        return self._beyond_shown(self._text().rstrip(_REPLACEMENT))

    def rest(self) -> str:
        """What was held back, once no more tokens come."""
        return self._beyond_shown(self._text())

    def _text(self) -> str:
        return self._tokens.continuation(self._opening.ids, self._new)

    def _beyond_shown(self, text: str) -> str:
        piece = text[len(self._shown) :]
        self._shown += piece
        return piece
