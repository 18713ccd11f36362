"""How likely a computer wrote a text: a linear model of character n-grams, made by training.

It sees the words of a text with single spaces between and around them, so that links and white
space make no difference.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from demo.judging import files
from demo.judging.canonical import Word, split_words

NAME = "detector.safetensors"
KIND = "detector 1"
# Chosen by cross-validation on 1,243 real and 1,250 generated texts.
LONGEST_NGRAM = 5
BUCKET_BITS = 16
BUCKETS = 1 << BUCKET_BITS
# Beyond it a float's probability would be exactly 0 or 1, which claims too much.
MAX_LOGIT = 30.0
# The fractional bits of pi and of e, 64 of them, made odd.
_STEP = np.uint64(0x243F6A8885A308D3)
_SPREAD = np.uint64(0xB7E151628AED2A6B)


class JudgedWord(NamedTuple):
    """A word at `[start, end)`, in characters of the judged text, and what it adds to the logit:
    positive speaks for a computer, negative for a person."""

    start: int
    end: int
    contribution: float


class Verdict(NamedTuple):
    """The probability, in (0, 1), that a computer wrote the text, at even prior odds, and what each
    word contributes to it, in order."""

    probability: float
    passages: tuple[JudgedWord, ...]


@dataclass(frozen=True)
class DetectorFacts(files.Facts):
    """What the detector was trained on and how. `regularisation` is scikit-learn's C."""

    intercept: float
    real_texts: int
    generated_texts: int
    regularisation: float
    seed: int
    longest_ngram: int = LONGEST_NGRAM
    buckets: int = BUCKETS

    def check(self, array: np.ndarray) -> None:
        """Raises ValueError unless these are the facts of such weights, for our n-grams."""
        if (self.longest_ngram, self.buckets) != (LONGEST_NGRAM, BUCKETS):
            raise ValueError("It was made for other n-grams.")
        if array.dtype != np.float32 or array.shape != (BUCKETS,):
            raise ValueError(
                f"It holds {array.dtype} of shape {array.shape}, not {BUCKETS} float32."
            )
        if not (math.isfinite(self.intercept) and np.isfinite(array).all()):
            raise ValueError("A weight is not a number.")


class Features(NamedTuple):
    """The distinct buckets of a text's n-grams, and their values of Euclidean norm 1."""

    buckets: np.ndarray
    values: np.ndarray


class Detector:
    """Logistic regression on hashed character n-grams. Safe to use from many threads."""

    def __init__(self, facts: DetectorFacts, weights: np.ndarray) -> None:
        """Takes one weight a bucket: `(BUCKETS,)`, float32."""
        self.facts = facts
        self._weights = weights

    def save(self, path: Path) -> None:
        """Writes the detector; the same one gives the same bytes."""
        files.write(path, KIND, self.facts, self._weights)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a detector. Raises UnusableFile."""
        return cls(*files.read(path, KIND, DetectorFacts))

    def judge(self, text: str) -> Verdict:
        """Judges a text. Without words it has no passages, and the intercept decides."""
        words = split_words(text)
        shares = self._contributions(words)
        passages = tuple(
            JudgedWord(word.start, word.end, share)
            for word, share in zip(words, shares, strict=True)
        )
        logit = self.facts.intercept + math.fsum(shares)
        return Verdict(1 / (1 + math.exp(-max(-MAX_LOGIT, min(MAX_LOGIT, logit)))), passages)

    def _contributions(self, words: list[Word]) -> list[float]:
        """What each word adds to the logit. Each n-gram's part is split evenly among its
        characters; a space counts to the word before it, the first space to the first word."""
        if not words:
            return []
        line = _line(words)
        buckets, inverse, counts = np.unique(
            np.concatenate(_hash_ngrams(line)), return_inverse=True, return_counts=True
        )
        parts = (self._weights[buckets] * _values(counts) / counts)[inverse]
        characters = np.zeros(len(line))
        begin = 0
        for length in range(1, min(LONGEST_NGRAM, len(line)) + 1):
            starts = len(line) - length + 1
            for offset in range(length):
                characters[offset : offset + starts] += parts[begin : begin + starts] / length
            begin += starts
        characters[1] += characters[0]
        ends = np.cumsum([len(piece) for piece in _spaced(words)])
        return [float(share.sum()) for share in np.split(characters[1:], ends)[:-1]]


def features(text: str) -> Features:
    """The features of a text; empty for one without words."""
    words = split_words(text)
    hashed = _hash_ngrams(_line(words)) if words else [np.empty(0, dtype=np.int64)]
    buckets, counts = np.unique(np.concatenate(hashed), return_counts=True)
    return Features(buckets, _values(counts))


def _line(words: list[Word]) -> str:
    return f" {''.join(_spaced(words))}"


def _spaced(words: list[Word]) -> Iterator[str]:
    """The words, each with a space after it unless the next one follows at once."""
    for word, after in zip_longest(words, words[1:]):
        yield word.text if after and after.start == word.end else f"{word.text} "


def _hash_ngrams(line: str) -> list[np.ndarray]:
    """For each n, the buckets of the n-grams in order: a polynomial hash of the code points modulo
    2^64, then the highest bits of a multiple of it (Dietzfelbinger et al. 1997)."""
    # A pasted text can contain half of a surrogate pair.
    points = np.frombuffer(line.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    hashes = np.ones(len(points) + 1, dtype=np.uint64)
    buckets = []
    for length in range(1, min(LONGEST_NGRAM, len(line)) + 1):
        hashes = hashes[:-1] * _STEP + points[length - 1 :]
        buckets.append((hashes * _SPREAD >> np.uint64(64 - BUCKET_BITS)).astype(np.int64))
    return buckets


def _values(counts: np.ndarray) -> np.ndarray:
    """Sublinear counts, normalised to a Euclidean norm of 1."""
    values = 1 + np.log(counts)
    return np.asarray(values / np.linalg.norm(values))
