"""MAUVE: how near two sets of texts are, by where a language model places them (Pillutla et al.
2021). 1 is equal.

A text's place is the model's last hidden state at its last token. The states are normalised,
reduced to nine tenths of their variance and clustered, a cluster for ten texts. Two sets are then
two histograms over clusters, and MAUVE is the area under the curve of their divergences.

The package mauve-text clusters anew for each pair and needs faiss. Here the clusters are made once,
of all sets that are compared, so that a set can be resampled. A value depends on the number of
texts: only sets of one size can be compared.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import rel_entr
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

TEXTS_PER_CLUSTER = 10
VARIANCE = 0.9
STARTS = 5
# The paper's scale, and the mixtures of both histograms that its package takes.
SCALE = 5.0
MIXTURES = np.linspace(1e-6, 1 - 1e-6, 25)


def cluster(places: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """The number of each text's cluster, `(texts,)`, of sets of places, `(texts, dimensions)`."""
    joined = PCA(VARIANCE, random_state=seed).fit_transform(normalize(np.concatenate(places)))
    count = max(2, round(min(map(len, places)) / TEXTS_PER_CLUSTER))
    labels = KMeans(count, n_init=STARTS, random_state=seed).fit_predict(joined)
    return np.split(labels, np.cumsum([len(one) for one in places])[:-1])


def mauve(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """MAUVE of two sets by the clusters of their texts: `(…, texts)` each."""
    clusters = max(ours.max(), theirs.max()) + 1
    p, q = (_histogram(one, clusters)[..., None, :] for one in (ours, theirs))
    mixed = MIXTURES[:, None] * p + (1 - MIXTURES[:, None]) * q
    x, y = (np.exp(-SCALE * rel_entr(one, mixed).sum(axis=-1)) for one in (q, p))
    # From the mixture that is all theirs to the one that is all ours.
    edges = [(0, 0)] * (x.ndim - 1) + [(1, 1)]
    x = np.pad(x, edges, constant_values=(1, 0))
    y = np.pad(y, edges, constant_values=(0, 1))
    return np.asarray(-np.trapezoid(y, x, axis=-1))


def _histogram(labels: np.ndarray, clusters: int) -> np.ndarray:
    counts = np.apply_along_axis(np.bincount, -1, labels, minlength=clusters)
    return np.asarray(counts / labels.shape[-1])
