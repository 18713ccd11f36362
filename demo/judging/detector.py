"""How likely is it that a computer wrote this text? A linear model made by training.

Knows the characters of a text and the weights of their n-grams; must not know what it was
trained on. A text is compared as its words with single spaces between and around them: links
and white space give nothing away.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from demo.judging import files
from demo.judging.words import Word, split_words

NAME = "detector.safetensors"
KIND = "detector 1"
# Chosen by cross-validation on 1,243 real and 1,250 generated texts.
LONGEST_NGRAM = 5
BUCKET_BITS = 16
BUCKETS = 1 << BUCKET_BITS
# Beyond it a float's probability would be exactly 0 or 1, which no judge can know.
MAX_LOGIT = 30.0
# Odd and without pattern: what follows the point in pi and in e, 64 bits, made odd.
_STEP = np.uint64(0x243F6A8885A308D3)
_SPREAD = np.uint64(0xB7E151628AED2A6B)


class JudgedWord(NamedTuple):
    """A word at `[start, end)`, in characters of the text that was judged, and what it adds to
    the logit: positive speaks for a computer, negative for a person."""

    start: int
    end: int
    contribution: float


class Verdict(NamedTuple):
    """How likely a computer wrote the text, in (0, 1), if beforehand either is as likely, and
    what each word, in order, has to do with it."""

    probability: float
    passages: tuple[JudgedWord, ...]


@dataclass(frozen=True)
class DetectorFacts:
    """What the detector was made from and with. `regularisation` is scikit-learn's C."""

    intercept: float
    real_texts: int
    generated_texts: int
    regularisation: float
    seed: int
    longest_ngram: int = LONGEST_NGRAM
    buckets: int = BUCKETS


class Features(NamedTuple):
    """A text's distinct buckets and their values, of Euclidean length 1: `(distinct,)` each."""

    buckets: np.ndarray
    values: np.ndarray


class Detector:
    """Logistic regression on hashed character n-grams. Safe to use from many threads."""

    def __init__(self, facts: DetectorFacts, weights: np.ndarray) -> None:
        """Takes the weights of the buckets: `(BUCKETS,)`, float32."""
        self.facts = facts
        self._weights = weights

    def save(self, path: Path) -> None:
        """Writes the detector; the same one gives the same bytes."""
        files.write(path, KIND, asdict(self.facts), self._weights)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a detector.

        Raises:
            UnusableFile: missing, damaged, or made for other n-grams.
        """
        values, weights = files.read(path, KIND)
        try:
            facts = _checked(DetectorFacts(**values))
        except (TypeError, ValueError) as error:
            raise files.UnusableFile(
                f"{path} is damaged: its facts are not a detector's."
            ) from error
        if weights.dtype != np.float32 or weights.shape != (BUCKETS,):
            raise files.UnusableFile(
                f"{path} is damaged: it holds {weights.dtype} of shape {weights.shape}, "
                f"not {BUCKETS} float32."
            )
        if not np.isfinite(weights).all():
            raise files.UnusableFile(f"{path} is damaged: a weight is not a number.")
        return cls(facts, weights)

    def judge(self, text: str) -> Verdict:
        """The verdict on a text. One without words has no passages and says what the intercept
        alone does."""
        words = split_words(text)
        shares = self._shares(words)
        passages = tuple(
            JudgedWord(word.start, word.end, share)
            for word, share in zip(words, shares, strict=True)
        )
        return Verdict(_probability(self.facts.intercept + math.fsum(shares)), passages)

    def _shares(self, words: list[Word]) -> list[float]:
        """What each word adds to the logit: an n-gram's part is shared evenly among its
        characters, and a space's goes to the word before it, the first one's to the first."""
        if not words:
            return []
        line = _line(words)
        buckets, places, counts = np.unique(
            np.concatenate(_hashed(line)), return_inverse=True, return_counts=True
        )
        parts = (self._weights[buckets] * _values(counts) / counts)[places]
        characters = np.zeros(len(line))
        begin = 0
        for length in range(1, min(LONGEST_NGRAM, len(line)) + 1):
            starts = len(line) - length + 1
            for offset in range(length):
                characters[offset : offset + starts] += parts[begin : begin + starts] / length
            begin += starts
        characters[1] += characters[0]
        ends = np.cumsum([len(word.text) + 1 for word in words])
        return [float(share.sum()) for share in np.split(characters[1:], ends)[:-1]]


def features(text: str) -> Features:
    """What the detector sees of a text; nothing of one without words."""
    words = split_words(text)
    hashed = _hashed(_line(words)) if words else [np.empty(0, dtype=np.int64)]
    buckets, counts = np.unique(np.concatenate(hashed), return_counts=True)
    return Features(buckets, _values(counts))


def _line(words: list[Word]) -> str:
    return f" {' '.join(word.text for word in words)} "


def _hashed(line: str) -> list[np.ndarray]:
    """For each length, the bucket of every n-gram in order: a polynomial over code points,
    modulo 2^64, and the highest bits of a multiple of it (Dietzfelbinger et al. 1997)."""
    # Half of a surrogate pair can be in a text that somebody pasted.
    points = np.frombuffer(line.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    hashes = np.ones(len(points) + 1, dtype=np.uint64)
    buckets = []
    for length in range(1, min(LONGEST_NGRAM, len(line)) + 1):
        hashes = hashes[:-1] * _STEP + points[length - 1 :]
        buckets.append((hashes * _SPREAD >> np.uint64(64 - BUCKET_BITS)).astype(np.int64))
    return buckets


def _values(counts: np.ndarray) -> np.ndarray:
    """Sublinear counts, of Euclidean length 1."""
    values = 1 + np.log(counts)
    return np.asarray(values / np.linalg.norm(values))


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-MAX_LOGIT, min(MAX_LOGIT, logit))))


def _checked(facts: DetectorFacts) -> DetectorFacts:
    if not math.isfinite(facts.intercept):
        raise ValueError("The intercept is not a number.")
    if (facts.longest_ngram, facts.buckets) != (LONGEST_NGRAM, BUCKETS):
        raise ValueError("It was made for other n-grams.")
    return facts
