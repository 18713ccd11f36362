"""Drawing tokens from logits, for the engines that leave this to their caller.

Knows numpy arrays; must not know where the logits are from.
"""

import numpy as np
from numpy.typing import NDArray

TEMPERATURE = 0.9
TOP_P = 0.95


def draw(logits: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.int64]:
    """One token for each row of logits [batch, vocabulary], by temperature and top-p
    (Holtzman et al. 2020)."""
    scaled = (logits - logits.max(axis=1, keepdims=True)) / np.float32(TEMPERATURE)
    weights = np.exp(scaled, out=scaled)
    totals = weights.sum(axis=1)
    points = random.random(len(logits))
    return np.array([_draw(*row) for row in zip(weights, totals, points, strict=True)], np.int64)


def _draw(weights: NDArray[np.float32], total: float, point: float) -> int:
    # All tokens below this weight together are less than what top-p leaves out, so the
    # nucleus is among the others: only they need to be sorted.
    candidates = np.flatnonzero(weights >= total * (1 - TOP_P) / weights.size)
    kept = weights[candidates]
    order = np.argsort(kept)[::-1]
    shares = np.cumsum(kept[order], dtype=np.float64)
    nucleus = int(np.searchsorted(shares, TOP_P * total)) + 1
    place = int(np.searchsorted(shares, point * shares[nucleus - 1], side="right"))
    return int(candidates[order[place]])
