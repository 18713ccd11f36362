"""How much a text looks like a generated one to somebody who does not read it.

Knows punctuation, characters and numbers; must not know words. A model ends more of its texts with
an exclamation mark than the person did, say: so real and generated texts are paired not by length
alone but by this score, too, and a script that counts marks learns nothing (matching on the
propensity score: Rosenbaum and Rubin 1983).
"""

import threading
from collections import deque
from collections.abc import Sequence

import numpy as np

# Generated texts to learn from: before there are so many, and again after as many more.
BATCH = 64
# Older ones are forgotten.
MAX_TEXTS = 2_000
# Of a difference in the score, in logits, beyond which two texts are no pair: found with 1,467
# generated texts; an online regression on such features is then right half of the time, and was
# 55 in 100 with pairs of equal length.
CALIPER = 0.3
STEPS, RIDGE = 8, 10.0
_MARKS = "!.,@#-:&?"


def features(text: str) -> np.ndarray:
    """Counts and shares: `(features,)`, float64. The text has a word."""
    words, length = text.split(), len(text)
    return np.array(
        [
            *(min(text.count(mark), 3) for mark in _MARKS),
            min(sum(text.count(mark) for mark in '"“”'), 3),
            min(sum(text.count(mark) for mark in "'’"), 3),
            min(sum(map(str.isdigit, text)), 6),
            min(sum(word.isupper() and len(word) > 1 for word in words), 4),
            sum(word.istitle() for word in words) / len(words),
            10 * len(words) / length,
            sum(map(str.isupper, text)) / length,
            sum(character.isalpha() or character.isspace() for character in text) / length,
            length / 100,
            *(text[-1] == mark for mark in "!."),
            text[-1].isalnum(),
            text[0].isalpha(),
            "…" in text or "..." in text,
            not text.isascii(),
        ],
        dtype=np.float64,
    )


class Surface:
    """Logistic regression between all real texts and the generated ones so far. Safe to use from
    many threads."""

    def __init__(self, real: Sequence[str]) -> None:
        """`real` by their numbers."""
        rows = np.array([features(text) for text in real])
        self._mean, self._deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
        self._real = self._scaled(rows)
        self._generated: deque[np.ndarray] = deque(maxlen=MAX_TEXTS)
        self._learnt = 0
        self._weights = np.zeros(rows.shape[1])
        self._lock = threading.Lock()

    def learn(self, text: str) -> None:
        """One more generated text."""
        row = self._scaled(features(text))
        with self._lock:
            self._generated.append(row)
            self._learnt += 1
            if self._learnt % BATCH == 0:
                self._weights = _fitted(self._real, np.array(self._generated))

    def distances(self, numbers: Sequence[int], text: str) -> np.ndarray:
        """From each of these real texts to a generated one, in logits; all 0 until enough is
        known."""
        there = self._real[list(numbers)] - self._scaled(features(text))
        return np.asarray(np.abs(there @ self._weights))

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip((rows - self._mean) / self._deviation, -3, 3))


def _fitted(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Weights by Newton's method, both kinds weighing the same, with a ridge for so few texts."""
    rows = np.column_stack([np.vstack([real, generated]), np.ones(len(real) + len(generated))])
    truths = np.repeat([0.0, 1.0], [len(real), len(generated)])
    fewer = min(len(real), len(generated))
    counts = np.repeat([fewer / len(real), fewer / len(generated)], [len(real), len(generated)])
    weights = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        chances = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (counts * (truths - chances)) - RIDGE * weights
        curve = (rows * (counts * chances * (1 - chances))[:, None]).T @ rows
        weights += np.linalg.solve(curve + RIDGE * np.eye(len(weights)), slope)
    fitted: np.ndarray = weights[:-1]
    return fitted
