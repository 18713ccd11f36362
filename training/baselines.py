"""Classical models of bytes that a neural one must beat: a unigram and a Kneser-Ney n-gram.

Knows bytes; must not know tokens or neural networks. Symbols are characters U+0000 to U+00FF
for bytes and two more for the closing and the opening mark, so that a context is a `str`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from tqdm import tqdm

from training.bits import Score

CLOSE, OPEN = chr(256), chr(257)
# What can be predicted: 256 bytes and the closing mark.
ALPHABET = 257
KNESER_NEY_ORDER = 8


class ByteModel(Protocol):
    """Predicts one symbol from those before it."""

    def probability(self, context: str, symbol: str) -> float:
        """P(symbol | context), over 257 symbols."""
        ...


class Unigram:
    """Byte frequencies with add-one smoothing; the context is not looked at."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._counts: Counter[str] = Counter()
        for text in texts:
            self._counts.update(_symbols(text))
        self._total = self._counts.total() + ALPHABET

    def probability(self, context: str, symbol: str) -> float:
        """P(symbol)."""
        return (self._counts[symbol] + 1) / self._total


class KneserNey:
    """Interpolated Kneser-Ney (Kneser and Ney 1995; Chen and Goodman 1999) over bytes.

    One absolute discount an order, n1 / (n1 + 2 n2); below the first order, uniform.
    """

    def __init__(self, texts: Sequence[str], order: int = KNESER_NEY_ORDER) -> None:
        self.order = order
        self._counts = self._count(texts, order)
        self._discounts = [_discount(counts) for counts in self._counts]
        self._totals: list[Counter[str]] = []
        self._kinds: list[Counter[str]] = []
        for counts in self._counts:
            totals: Counter[str] = Counter()
            kinds: Counter[str] = Counter()
            for gram, count in counts.items():
                totals[gram[:-1]] += count
                kinds[gram[:-1]] += 1
            self._totals.append(totals)
            self._kinds.append(kinds)

    @staticmethod
    def _count(texts: Sequence[str], order: int) -> list[Counter[str]]:
        """Counts by gram length less one: plain ones at the top, below it the number of
        different symbols that a gram was seen after."""
        top: Counter[str] = Counter()
        for text in tqdm(texts, desc="Kneser-Ney", unit=" texts"):
            line = OPEN * (order - 1) + _symbols(text)
            top.update(line[i : i + order] for i in range(len(line) - order + 1))
        counts = [top]
        for _ in range(order - 1):
            counts.append(Counter(gram[1:] for gram in counts[-1]))
        return counts[::-1]

    def probability(self, context: str, symbol: str) -> float:
        """P(symbol | the last order - 1 symbols of the context)."""
        probability = 1 / ALPHABET
        for level in range(self.order):
            history = context[len(context) - level :]
            total = self._totals[level][history]
            if not total:
                break
            discount = self._discounts[level]
            count = self._counts[level][history + symbol]
            backed_off = discount * self._kinds[level][history] * probability
            probability = (max(count - discount, 0.0) + backed_off) / total
        return probability


def score_bytes(
    texts: Sequence[str], model: ByteModel, order: int = KNESER_NEY_ORDER
) -> list[Score]:
    """Scores every text under a byte model, by the same definition as a language model's."""
    scores = []
    for text in texts:
        line = OPEN * (order - 1) + _symbols(text)
        bits = -sum(
            math.log2(model.probability(line[i - order + 1 : i], line[i]))
            for i in range(order - 1, len(line))
        )
        size = len(line) - order + 1
        scores.append(Score(bits, size, size))
    return scores


def _symbols(text: str) -> str:
    return text.encode().decode("latin-1") + CLOSE


def _discount(counts: Counter[str]) -> float:
    once = sum(count == 1 for count in counts.values())
    twice = sum(count == 2 for count in counts.values())
    return once / (once + 2 * twice) if once else 0.5
