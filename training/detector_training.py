"""Trains the detector on real and generated texts, and measures it on others.

The caller keeps the texts to train on and those to measure on apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from demo.judging.detector import BUCKETS, Detector, DetectorFacts, features
from demo.judging.judges import Share
from training import TrainingError
from training.intervals import bootstrap_interval

FOLDS = 5
REGULARISATIONS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
MAX_STEPS = 2_000
# The lowest lengths of the groups, in characters; the last group has no upper limit.
LENGTH_GROUPS = (0, 60, 120, 200)


@dataclass(frozen=True)
class GroupFigures:
    """What was measured on so many texts of each kind, with 95 % bootstrap intervals.

    `accuracy` is balanced, at a probability of 0.5; `roc_auc` is how often a generated text gets
    the higher probability of a pair. Chance is 0.5 for both, however many texts each kind has.
    """

    real: int
    generated: int
    accuracy: Share
    roc_auc: Share


@dataclass(frozen=True)
class DetectorFigures:
    """Figures of all texts, and of each length group with at least two texts of each kind: the
    bootstrap of one text has no width."""

    overall: GroupFigures
    by_length: dict[str, GroupFigures]


def train_detector(real: Sequence[str], generated: Sequence[str], seed: int) -> Detector:
    """Fits a logistic regression (scikit-learn) to the texts' features, both kinds weighing the
    same. 5-fold cross-validation, its folds drawn by `seed`, picks the regularisation with the best
    log-likelihood, so that probabilities are calibrated. Raises TrainingError if there are fewer
    texts of a kind than folds."""
    if min(len(real), len(generated)) < FOLDS:
        raise TrainingError(
            f"The detector has {len(real)} real and {len(generated)} generated texts to learn "
            f"from; at least {FOLDS} of each are needed."
        )
    search = GridSearchCV(
        LogisticRegression(class_weight="balanced", max_iter=MAX_STEPS),
        {"C": REGULARISATIONS},
        scoring="neg_log_loss",
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=seed),
    )
    # On vectors this small, threads that wait for each other take many times as long as one.
    with threadpool_limits(1):
        search.fit(_matrix([*real, *generated]), np.repeat([0, 1], [len(real), len(generated)]))
    facts = DetectorFacts(
        intercept=float(search.best_estimator_.intercept_[0]),
        real_texts=len(real),
        generated_texts=len(generated),
        regularisation=float(search.best_params_["C"]),
        seed=seed,
    )
    return Detector(facts, search.best_estimator_.coef_[0].astype(np.float32))


def measure_detector(
    detector: Detector, real: Sequence[str], generated: Sequence[str]
) -> DetectorFigures:
    """Measures how well the detector tells apart texts that it was not trained on. Raises
    TrainingError if there are fewer than two texts of a kind."""
    if min(len(real), len(generated)) < 2:
        raise TrainingError("The detector can only be measured on several texts of both kinds.")
    of_real, of_generated = (probabilities(detector, texts) for texts in (real, generated))
    real_groups, generated_groups = _length_groups(real), _length_groups(generated)
    by_length = {}
    for i, low in enumerate(LENGTH_GROUPS):
        a, b = of_real[real_groups == i], of_generated[generated_groups == i]
        if min(len(a), len(b)) >= 2:
            high = LENGTH_GROUPS[i + 1] - 1 if i + 1 < len(LENGTH_GROUPS) else None
            by_length[f"{low}-{high}" if high else f"{low}+"] = compare(a, b)
    return DetectorFigures(compare(of_real, of_generated), by_length)


def probabilities(detector: Detector, texts: Sequence[str]) -> np.ndarray:
    """How likely the detector thinks it that a computer wrote each text."""
    return np.array([detector.judge(text).probability for text in texts])


def train_likelihood_judge(real: np.ndarray, generated: np.ndarray) -> Any:
    """A judge beside the detector, too large to run beside a page: a logistic regression on what
    two models make of a text, its bits per byte under each, `(texts, 2)`. The texts of a model
    surprise it less than they surprise its base."""
    judge = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    return judge.fit(
        np.concatenate([real, generated]), np.repeat([0, 1], [len(real), len(generated)])
    )


def _matrix(texts: Sequence[str]) -> Any:
    """The texts' features as a sparse matrix: `(texts, BUCKETS)`."""
    rows = [features(text) for text in texts]
    ends = np.cumsum([0, *(len(row.buckets) for row in rows)])
    buckets = np.concatenate([row.buckets for row in rows])
    values = np.concatenate([row.values for row in rows])
    return csr_matrix((values, buckets, ends), shape=(len(texts), BUCKETS))


def _length_groups(texts: Sequence[str]) -> np.ndarray:
    return np.searchsorted(LENGTH_GROUPS, [len(text) for text in texts], side="right") - 1


def compare(real: np.ndarray, generated: np.ndarray) -> GroupFigures:
    """How well two kinds of texts are told apart by what a judge gives each."""
    both = (real, generated)
    accuracy, roc_auc = (bootstrap_interval(one, both) for one in (_accuracy, _roc_auc))
    return GroupFigures(len(real), len(generated), accuracy, roc_auc)


def _accuracy(real: np.ndarray, generated: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(((real < 0.5).mean(axis=axis) + (generated >= 0.5).mean(axis=axis)) / 2)


def _roc_auc(real: np.ndarray, generated: np.ndarray, axis: int = -1) -> np.ndarray:
    """By rank sums (Mann and Whitney 1947), for all resamples at once: scikit-learn's
    `roc_auc_score` gives the same and takes one set at a time, eight times as long."""
    n, m = real.shape[axis], generated.shape[axis]
    ranks = rankdata(np.concatenate([real, generated], axis=axis), axis=axis)
    of_generated = np.take(ranks, np.arange(n, n + m), axis=axis).sum(axis=axis)
    return np.asarray((of_generated - m * (m + 1) / 2) / (n * m))
