"""How many texts repeat training data: those that share a window with it (8 words or 50 characters,
as demo/judging/originals.py defines it)."""

from collections.abc import Iterable, Sequence
from typing import Self

from demo.judging.originals import window_digests


class Verbatim:
    """All windows of a set of texts, exactly and in memory (about 40 MB for 22,000 tweets)."""

    def __init__(self, digests: frozenset[bytes]) -> None:
        self._digests = digests

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Collects the windows of the texts that may be repeated."""
        return cls(frozenset(digest for text in texts for digest in window_digests(text)))

    def repeats(self, text: str) -> bool:
        """Whether a window of the text is one of theirs."""
        return not self._digests.isdisjoint(window_digests(text))

    def share(self, texts: Sequence[str]) -> float:
        """The share of the texts that repeat something."""
        return sum(map(self.repeats, texts)) / len(texts)
