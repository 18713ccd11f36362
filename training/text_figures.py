"""What a set of texts looks like, in figures that can be held beside those of real tweets.

Knows words and characters; must not know models or where the texts come from.
Words are what stands between white space, compared with their case.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from demo.judging.canonical import HANDLE
from training.files import rounded

TWEET_CHARACTERS = 280
BLEU_ORDER = 4
REPEATED_ORDER = 4
NOVELTY_ORDERS = range(5, 11)
LENGTH_QUANTILES = (0.1, 0.5, 0.9)

Gram = tuple[str, ...]


@dataclass(frozen=True)
class TextFigures:
    """Of `texts` texts.

    distinct_1, distinct_2: different n-grams as a share of all (Li et al. 2016); only comparable
        between sets of one size.
    self_bleu: how alike the texts are: the mean BLEU-4 of each against all others (Zhu et al.
        2018); also grows with the set.
    repetition: share of a text's 4-grams that it had before (Welleck et al. 2020), over all.
    length: 10 %, 50 % and 90 % quantiles, in characters.
    within_280: share of at most 280 characters that also ended by themselves.
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
        """For `metrics.json`."""
        figures: dict[str, Any] = rounded(asdict(self))
        return figures


def describe(texts: Sequence[str], ended: Sequence[bool] | None = None) -> TextFigures:
    """The figures of a set; `ended` says of each text whether it ended by itself (real ones do)."""
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
    """The share of n-grams of words, n from 5 to 10, that no known text has (McCoy et al. 2021)."""
    ours, theirs = ([text.split() for text in side] for side in (texts, known))
    shares = {}
    for n in NOVELTY_ORDERS:
        seen = {hash(gram) for line in theirs for gram in ngrams(line, n)}
        shares[n] = _share(hash(gram) not in seen for line in ours for gram in ngrams(line, n))
    return shares


def ngrams(words: Sequence[str], n: int) -> Iterator[Gram]:
    """Every run of n words."""
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
    """Each line's clipped n-gram precision against all others. A gram is clipped to the most
    that any other line has, so the two highest counts of each gram are enough to know."""
    counts = [Counter(ngrams(line, n)) for line in lines]
    most: dict[Gram, tuple[int, int, int]] = {}
    for index, count in enumerate(counts):
        for gram, number in count.items():
            first, holder, second = most.get(gram, (0, -1, 0))
            if number > first:
                most[gram] = (number, index, first)
            elif number > second:
                most[gram] = (first, holder, number)
    return [
        sum(
            min(number, second if holder == index else first)
            for gram, number in count.items()
            for first, holder, second in (most[gram],)
        )
        / count.total()
        for index, count in enumerate(counts)
    ]


def _brevity(length: int, lengths: Sequence[int]) -> float:
    """BLEU's penalty against the closest length of all others, of which `lengths`, sorted, has
    this text's own too."""
    place = int(np.searchsorted(lengths, length))
    others = [*lengths[max(0, place - 1) : place], *lengths[place + 1 : place + 2]]
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
