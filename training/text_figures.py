"""Figures of a set of texts, beside those of real tweets.

Words are separated by white space and compared with case and punctuation.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demo.judging.canonical import ANONYMOUS_HANDLE, HANDLE, handles_in, split_words
from demo.judging.originals import WINDOW_CHARACTERS, WINDOW_WORDS, window_digests, windows_of
from training.files import rounded
from training.intervals import share
from training.sampling import Sample

TWEET_CHARACTERS = 280
REPEATED_ORDER = 4
NOVELTY_ORDERS = range(5, 11)
# How `repeating` compares. Recorded with the figure: older ones were measured otherwise.
REPEATING_RULE = (
    f"{WINDOW_WORDS} words or {WINDOW_CHARACTERS} characters in a row, or a shorter tweet as a "
    "whole, compared without case, punctuation, links and handles"
)
LENGTH_QUANTILES = (0.1, 0.5, 0.9)
# Texts that the card shows, unpicked.
SHOWN = 20
RATIOS = (
    "repetition", "within_280", "public_handles", "hashtags", "exclamations", "capitals", "shouted",
)  # fmt: skip

Gram = tuple[str, ...]


@dataclass(frozen=True)
class TextFigures:
    """The figures of `texts` texts.

    distinct_1, distinct_2: different n-grams as a share of all (Li et al. 2016); only comparable
        between sets of the same size.
    repetition: share of 4-grams that occurred earlier in their text (Welleck et al. 2020).
    length: 10 %, 50 % and 90 % quantiles, in characters.
    within_280: share of texts of at most 280 characters that ended by themselves.
    public_handles, hashtags, exclamations: share of texts with at least one. Of handles, those
        that real tweets have after cleaning: what a model makes up would be `@user` in a real one.
    capitals: share of letters that are upper case. shouted: share of words of two letters or
        more that are upper case throughout.
    """

    texts: int
    distinct_1: float
    distinct_2: float
    repetition: float
    length: tuple[float, ...]
    within_280: float
    public_handles: float
    hashtags: float
    exclamations: float
    capitals: float
    shouted: float


def describe(
    texts: Sequence[str], public: frozenset[str], ended: Sequence[bool] | None = None
) -> TextFigures:
    """The figures of a set. `public` are the public handles; `ended` says of each text whether it
    ended by itself: by default all did, as real tweets do."""
    words = [words_of(text) for text in texts]
    shares = {name: ratio(counts) for name, counts in count(texts, public, ended).items()}
    return TextFigures(
        texts=len(texts),
        distinct_1=_distinct(words, 1),
        distinct_2=_distinct(words, 2),
        length=tuple(length_quantiles(np.array([len(text) for text in texts])).tolist()),
        **{name: float(value) for name, value in shares.items()},
    )


def count(
    texts: Sequence[str], public: frozenset[str], ended: Sequence[bool] | None = None
) -> dict[str, np.ndarray]:
    """For each figure that is a ratio, what it counts in each text and among how many:
    `(texts, 2)`. Texts can be resampled by rows."""
    closed = ended if ended is not None else [True] * len(texts)
    counted = [_count_one(text, public, done) for text, done in zip(texts, closed, strict=True)]
    return {
        name: np.array([one[name] for one in counted], dtype=float).reshape(-1, 2)
        for name in RATIOS
    }


def ratio(counts: np.ndarray) -> np.ndarray:
    """A figure of the sets of texts whose counts these are: `(…, texts, 2)`."""
    found, among = np.moveaxis(counts.sum(axis=-2), -1, 0)
    return np.asarray(found / np.maximum(among, 1))


def public_handles(texts: Iterable[str]) -> frozenset[str]:
    """The handles of prepared texts, in lower case, but for `@user`."""
    return handles_in(texts) - {ANONYMOUS_HANDLE}


def words_of(text: str) -> list[str]:
    """Its words, in any script, without links."""
    return [word.text for word in split_words(text)]


def length_quantiles(lengths: np.ndarray) -> np.ndarray:
    """The quantiles of the sets of texts with these lengths: `(…, texts)` gives `(…, 3)`."""
    return np.moveaxis(np.quantile(lengths, LENGTH_QUANTILES, axis=-1), 0, -1)


def _count_one(text: str, public: frozenset[str], ended: bool) -> dict[str, tuple[int, int]]:
    words = words_of(text)
    letters = [character for character in text if character.isalpha()]
    spoken = [word for word in words if sum(map(str.isalpha, word)) > 1]
    grams = list(ngrams(words, REPEATED_ORDER))
    handles = {handle.lower() for handle in HANDLE.findall(text)}
    return {
        "repetition": (len(grams) - len(set(grams)), len(grams)),
        "within_280": (ended and len(text) <= TWEET_CHARACTERS, 1),
        "public_handles": (not handles.isdisjoint(public), 1),
        "hashtags": (any(word.startswith("#") and len(word) > 1 for word in words), 1),
        "exclamations": ("!" in text, 1),
        "capitals": (sum(map(str.isupper, letters)), len(letters)),
        "shouted": (sum(map(str.isupper, spoken)), len(spoken)),
    }


def novelty(texts: Iterable[str], known: Iterable[str]) -> dict[int, float]:
    """By n from 5 to 10, the share of n-grams of words that no known text contains (McCoy et al.
    2021)."""
    ours, theirs = ([words_of(text) for text in side] for side in (texts, known))
    shares = {}
    for n in NOVELTY_ORDERS:
        seen = {hash(gram) for line in theirs for gram in ngrams(line, n)}
        shares[n] = _true_share(hash(gram) not in seen for line in ours for gram in ngrams(line, n))
    return shares


def repeating(texts: Iterable[str], known: frozenset[bytes]) -> list[bool]:
    """Of each text, whether it repeats one of those with these windows: it has one of them, as
    `demo.judging.originals` defines windows for the page too."""
    return [not known.isdisjoint(window_digests(text)) for text in texts]


def ngrams(words: Sequence[str], n: int) -> Iterator[Gram]:
    return (tuple(words[i : i + n]) for i in range(len(words) - n + 1))


@dataclass(frozen=True)
class Report:
    """Figures of `samples` texts drawn without a prompt, for `metrics.json`.

    generated, real: figures of equally many generated and real texts of test.
    novelty: share of n-grams that train does not have, by n, of all generated and all real ones.
    verbatim: share of all generated texts, and of all real ones, that repeat train by
        `verbatim_rule`; `verbatim_intervals` has their 95 % intervals.
    unpicked: the first texts drawn.
    """

    samples: int
    first_seed: int
    decoding: Mapping[str, Any]
    generated: Mapping[str, Any]
    real: Mapping[str, Any]
    novelty: Mapping[str, Mapping[int, float]]
    verbatim: Mapping[str, float]
    verbatim_intervals: Mapping[str, Mapping[str, float]]
    verbatim_rule: str
    unpicked: Sequence[str]


def measure_texts(
    samples: Sequence[Sample],
    first_seed: int,
    decoding: Mapping[str, Any],
    train: Sequence[str],
    test: Sequence[str],
) -> Report:
    """Compares texts drawn without a prompt, with these seeds and settings, with real ones."""
    written = [sample.text for sample in samples]
    compared = min(len(written), len(test))
    ended = [sample.ended for sample in samples[:compared]]
    sides = {"generated": written, "real": test}
    known, public = windows_of(train), public_handles(train)
    repeats = {name: repeating(side, known) for name, side in sides.items()}
    verbatim = {name: share(sum(found), len(found)) for name, found in repeats.items()}
    return Report(
        samples=len(samples),
        first_seed=first_seed,
        decoding=dict(decoding),
        generated=rounded(describe(written[:compared], public, ended)),
        real=rounded(describe(random.Random(first_seed).sample(test, compared), public)),
        novelty={name: rounded(novelty(side, train)) for name, side in sides.items()},
        verbatim=rounded({name: found.value for name, found in verbatim.items()}),
        verbatim_intervals=rounded(verbatim),
        verbatim_rule=REPEATING_RULE,
        unpicked=written[:SHOWN],
    )


def render(report: Report) -> str:
    """The report, for a terminal."""
    rows: list[tuple[str, Any, Any]] = [("texts", "generated", "real")]
    rows += [(name, value, report.real[name]) for name, value in report.generated.items()]
    real = report.novelty["real"]
    rows += [(f"new {n}-grams", v, real[n]) for n, v in report.novelty["generated"].items()]
    verbatim = report.verbatim
    rows.append(("repeat train verbatim", verbatim["generated"], verbatim["real"]))
    return "\n".join(
        f"{name:<28}{_cell(ours):>22}{_cell(theirs):>22}" for name, ours, theirs in rows
    )


def _cell(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "/".join(f"{one:.0f}" for one in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _distinct(lines: Iterable[Sequence[str]], n: int) -> float:
    grams = Counter(gram for line in lines for gram in ngrams(line, n))
    return len(grams) / max(1, grams.total())


def _true_share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / max(1, len(found))
