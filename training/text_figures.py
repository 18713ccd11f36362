"""Figures of a set of texts, to be compared with those of real tweets.

Words are separated by white space and compared with case and punctuation.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from demo.judging.canonical import HANDLE
from demo.judging.originals import WINDOW_CHARACTERS, WINDOW_WORDS, window_digests
from training.files import rounded

TWEET_CHARACTERS = 280
BLEU_ORDER = 4
REPEATED_ORDER = 4
NOVELTY_ORDERS = range(5, 11)
# How `share_repeating` compares. Recorded with the figure: older ones were measured otherwise.
REPEATING_RULE = (
    f"{WINDOW_WORDS} words or {WINDOW_CHARACTERS} characters in a row, or a shorter tweet as a "
    "whole, compared without case, punctuation, links and handles"
)
LENGTH_QUANTILES = (0.1, 0.5, 0.9)

Gram = tuple[str, ...]


@dataclass(frozen=True)
class TextFigures:
    """The figures of `texts` texts.

    distinct_1, distinct_2: different n-grams as a share of all (Li et al. 2016); only comparable
        between sets of the same size.
    self_bleu: how similar the texts are: the mean BLEU-4 of each against all others (Zhu et al.
        2018); grows with the set too.
    repetition: share of 4-grams that occurred earlier in their text (Welleck et al. 2020).
    length: 10 %, 50 % and 90 % quantiles, in characters.
    within_280: share of texts of at most 280 characters that ended by themselves.
    handles, hashtags, exclamations: share of texts with at least one.
    capitals: share of letters that are upper case. shouted: share of words of two letters or
        more that are upper case throughout.
    """

    texts: int
    distinct_1: float
    distinct_2: float
    self_bleu: float
    repetition: float
    length: tuple[float, ...]
    within_280: float
    handles: float
    hashtags: float
    exclamations: float
    capitals: float
    shouted: float

    def as_dict(self) -> dict[str, Any]:
        figures: dict[str, Any] = rounded(asdict(self))
        return figures


def describe(texts: Sequence[str], ended: Sequence[bool] | None = None) -> TextFigures:
    """The figures of a set. `ended` says of each text whether it ended by itself; by default all
    did, as real tweets do."""
    words = [text.split() for text in texts]
    flat = [word for line in words for word in line]
    letters = [c for text in texts for c in text if c.isalpha()]
    spoken = [word for word in flat if sum(c.isalpha() for c in word) > 1]
    closed = ended if ended is not None else [True] * len(texts)
    return TextFigures(
        texts=len(texts),
        distinct_1=_distinct(words, 1),
        distinct_2=_distinct(words, 2),
        self_bleu=self_bleu(words),
        repetition=_repetition(words),
        length=tuple(
            float(q) for q in np.quantile([len(text) for text in texts], LENGTH_QUANTILES)
        ),
        within_280=_share(
            done and len(text) <= TWEET_CHARACTERS for text, done in zip(texts, closed, strict=True)
        ),
        handles=_share(HANDLE.search(text) is not None for text in texts),
        hashtags=_share(any(w.startswith("#") and len(w) > 1 for w in line) for line in words),
        exclamations=_share("!" in text for text in texts),
        capitals=_share(c.isupper() for c in letters),
        shouted=_share(word.isupper() for word in spoken),
    )


def novelty(texts: Iterable[str], known: Iterable[str]) -> dict[int, float]:
    """By n from 5 to 10, the share of n-grams of words that no known text contains (McCoy et al.
    2021)."""
    ours, theirs = ([text.split() for text in side] for side in (texts, known))
    shares = {}
    for n in NOVELTY_ORDERS:
        seen = {hash(gram) for line in theirs for gram in ngrams(line, n)}
        shares[n] = _share(hash(gram) not in seen for line in ours for gram in ngrams(line, n))
    return shares


def share_repeating(texts: Iterable[str], known: Iterable[str]) -> float:
    """The share of texts that repeat a known one: they have a window of it, as
    `demo.judging.originals` defines windows."""
    digests = {digest for text in known for digest in window_digests(text)}
    return _share(not digests.isdisjoint(window_digests(text)) for text in texts)


def ngrams(words: Sequence[str], n: int) -> Iterator[Gram]:
    return (tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def self_bleu(texts: Sequence[Sequence[str]]) -> float:
    """The mean BLEU-4 (Papineni et al. 2002) of each text, of 4 words or more, against all others
    as its references, without smoothing; 0 for fewer than two such texts."""
    lines = [line for line in texts if len(line) >= BLEU_ORDER]
    if len(lines) < 2:
        return 0.0
    precisions = np.array([_precisions(lines, n) for n in range(1, BLEU_ORDER + 1)])
    lengths = sorted(map(len, lines))
    scores = [
        _brevity(len(line), lengths) * math.exp(np.log(matched).mean()) if matched.all() else 0.0
        for line, matched in zip(lines, precisions.T, strict=True)
    ]
    return sum(scores) / len(scores)


def _precisions(lines: Sequence[Sequence[str]], n: int) -> list[float]:
    """Each line's n-gram precision against all others, each gram counted at most as often as in
    the other line that has the most of it."""
    counts = [Counter(ngrams(line, n)) for line in lines]
    by_gram: dict[Gram, list[int]] = defaultdict(lambda: [0])
    for count in counts:
        for gram, number in count.items():
            by_gram[gram].append(number)
    highest = {gram: sorted(numbers)[-2:] for gram, numbers in by_gram.items()}

    def clipped(gram: Gram, number: int) -> int:
        second, first = highest[gram]
        # The highest count is the line's own: the others' highest is the second.
        return number if number < first else second

    return [sum(itertools.starmap(clipped, c.items())) / c.total() for c in counts]


def _brevity(length: int, lengths: Sequence[int]) -> float:
    """BLEU's penalty for being shorter than the text closest in length. `lengths` are those of all
    texts, this one included, in order."""
    index = int(np.searchsorted(lengths, length))
    others = [*lengths[max(0, index - 1) : index], *lengths[index + 1 : index + 2]]
    closest = min(others, key=lambda other: (abs(other - length), other))
    return min(1.0, math.exp(1 - closest / length))


def _distinct(lines: Iterable[Sequence[str]], n: int) -> float:
    grams = Counter(gram for line in lines for gram in ngrams(line, n))
    return len(grams) / max(1, grams.total())


def _repetition(lines: Iterable[Sequence[str]]) -> float:
    total = repeated = 0
    for line in lines:
        grams = Counter(ngrams(line, REPEATED_ORDER))
        total += grams.total()
        repeated += grams.total() - len(grams)
    return repeated / max(1, total)


def _share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / max(1, len(found))
