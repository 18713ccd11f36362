"""Which texts may be shown: those that cleaning or a stray character would not give away.

Knows canonical texts; must not know where a text comes from. Prepared tweets went through rules
before they were learnt from, so a generated text goes through the same ones, and either kind is
left out that they would still change: what only one kind can have tells them apart.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from demo.judging import canonical

MAX_CHARACTERS = 280
# What bytes become that are no character.
REPLACEMENT = "\ufffd"
# Control characters, halves of surrogate pairs, private and unassigned ones.
_NO_TEXT = ("Cc", "Cs", "Co", "Cn")


@dataclass(frozen=True)
class Fitness:
    """What the real texts say of themselves: handles in lower case, characters, and the texts
    without case."""

    handles: frozenset[str]
    characters: frozenset[str]
    texts: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """From every real text that was read."""
        texts = list(texts)
        characters = set("".join(texts))
        return cls(
            canonical.handles_in(texts),
            frozenset(filter(_is_text, characters)),
            frozenset(text.casefold() for text in texts),
        )

    def fits_real(self, text: str) -> bool:
        """Whether a prepared text may be shown."""
        return self._fits(text)

    def generated(self, raw: str) -> str | None:
        """A generated text as it may be shown; None if it may not, or is a real one."""
        if _is_left_out(raw.strip()):
            return None
        text = canonical.clean_alike(raw, self.handles)
        return text if self._fits(text) and text.casefold() not in self.texts else None

    def _fits(self, text: str) -> bool:
        return (
            len(text) <= MAX_CHARACTERS
            and not canonical.is_too_short(text)
            and not _is_left_out(text)
            and all(map(self._is_ordinary, text))
            # Once more changes nothing: an entity that was escaped twice, say.
            and canonical.clean_alike(text, self.handles) == text
        )

    def _is_ordinary(self, character: str) -> bool:
        """No half of an emoji, no control character, nothing that no real text has."""
        printable = character.isascii() and character.isprintable()
        return printable or (not character.isascii() and character in self.characters)


def _is_text(character: str) -> bool:
    return character != REPLACEMENT and unicodedata.category(character) not in _NO_TEXT


def _is_left_out(text: str) -> bool:
    """What `prepare` keeps no tweet of, wherever a model has it from."""
    return canonical.is_manual_retweet(text) or canonical.is_cut_off(text)
