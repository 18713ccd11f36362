"""How far sets of texts are from real ones, with intervals.

Beside what can be counted, a base model reads the texts: MAUVE compares where it places them, and
its bits per byte say how much they surprise it. Those tell text that is as dull as a cliché, or as
wild as random words, from text as people write it; they cannot tell whether it is true or makes
sense as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from demo.judging.judges import Share
from training.bits_per_byte import run_model
from training.intervals import CONFIDENCE, bootstrap_interval, jackknife_interval
from training.mauve import cluster, mauve
from training.text_figures import count, length_quantiles, ratio

# Shares of which none is 0 for real tweets, or a number that grows with them.
COMPARED = (
    "base_bits_per_byte",
    "within_280",
    "public_handles",
    "hashtags",
    "exclamations",
    "capitals",
    "shouted",
)


@dataclass(frozen=True)
class TextSet:
    """Texts as numbers, a row a text.

    counts: of each figure in COMPARED, what is counted and among how many, `(figures, texts, 2)`.
    lengths: in characters, `(texts,)`.
    clusters: MAUVE's, by number, `(texts,)`.
    """

    counts: np.ndarray
    lengths: np.ndarray
    clusters: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def figures(self, rows: np.ndarray) -> np.ndarray:
        """COMPARED and the quantiles of length of sets made of these rows: `(…, texts)` gives
        `(figures, …)`."""
        quantiles = length_quantiles(self.lengths[rows])
        ratios = [ratio(counts[rows]) for counts in self.counts]
        return np.array([*ratios, *np.moveaxis(quantiles, -1, 0)])


def read_sets(
    sets: Sequence[tuple[Sequence[str], Sequence[bool] | None]],
    public: frozenset[str],
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
) -> list[TextSet]:
    """Sets of texts, each with whether they ended by themselves, as a base model reads them;
    `public` are the public handles."""
    texts = [text for one, _ in sets for text in one]
    bits = np.zeros((len(texts), 2))
    places = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    label = "read by the base"
    for batch in run_model(texts, model, tokenizer, label, output_hidden_states=True):
        sizes = [document.scored_bytes for document in batch.documents]
        bits[batch.texts] = np.column_stack([batch.bits(), sizes])
        # Before the closing token.
        last = batch.mask.sum(dim=1) - 2
        states = batch.output.hidden_states[-1][range(len(last)), last]
        places[batch.texts] = states.float().cpu().numpy()
    ends = np.cumsum([len(one) for one, _ in sets])[:-1]
    clusters = cluster(np.split(places, ends), seed)
    made = []
    for (one, ended), read, labels in zip(sets, np.split(bits, ends), clusters, strict=True):
        counts = {**count(one, public, ended), "base_bits_per_byte": read}
        lengths = np.array([len(text) for text in one])
        made.append(TextSet(np.array([counts[name] for name in COMPARED]), lengths, labels))
    return made


def distance(ours: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The mean relative difference of figures, each as a share of the larger one:
    `(figures, …)` each."""
    apart = np.abs(ours - real) / np.maximum(np.maximum(ours, real), 1e-9)
    return np.asarray(apart.mean(axis=0))


def measure_distance(ours: TextSet, real: TextSet) -> Share:
    def statistic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return distance(ours.figures(a), real.figures(b))

    return jackknife_interval(statistic, (_rows(ours), _rows(real)), low=0, high=1)


def measure_mauve(ours: TextSet, real: TextSet) -> Share:
    def statistic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return mauve(ours.clusters[a], real.clusters[b])

    return jackknife_interval(statistic, (_rows(ours), _rows(real)), low=0, high=1)


def measure_gap(far: TextSet, near: TextSet, real: TextSet, gaps: int) -> Share:
    """How much farther from the real texts one set is than another, whose texts belong to its own
    one by one, by prompt and seed. A bootstrap: what resampling adds to a distance, it adds to
    both. The interval is wider if so many `gaps` are measured at once (Bonferroni)."""

    def statistic(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        figures = real.figures(b)
        return np.asarray(distance(far.figures(a), figures) - distance(near.figures(a), figures))

    return bootstrap_interval(
        statistic, (_rows(far), _rows(real)), confidence=1 - (1 - CONFIDENCE) / gaps
    )


def _rows(texts: TextSet) -> np.ndarray:
    return np.arange(len(texts))
