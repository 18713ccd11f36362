"""The detector learns to tell generated texts from real ones, and how well it does is measured.

Knows texts of both kinds and scikit-learn; must not know which model wrote the generated ones,
nor how tweets are split: whoever calls keeps the texts to learn from and to measure on apart.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from threadpoolctl import threadpool_limits

from demo.judging.detector import BUCKETS, Detector, DetectorFacts, features
from training.bits_per_byte import BOOTSTRAP_RESAMPLES, CONFIDENCE
from training.errors import TrainingError
from training.files import rounded

FOLDS = 5
REGULARISATIONS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
MAX_STEPS = 2_000
# In characters; the last group has no end.
LENGTH_GROUPS = (0, 60, 120, 200)


@dataclass(frozen=True)
class Share:
    """A figure in 0 to 1; `low` and `high` bound its bootstrap 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f}  [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class GroupFigures:
    """What was measured on so many texts of each kind.

    `accuracy` is the mean of both kinds' own, at a probability of 0.5, and `roc_auc` how often
    a generated text seems likelier generated than a real one: chance is 0.5 in both, however
    many texts there are of each kind.
    """

    real: int
    generated: int
    accuracy: Share
    roc_auc: Share


@dataclass(frozen=True)
class DetectorFigures:
    """All texts, and those of similar length; a length that one kind lacks is left out."""

    overall: GroupFigures
    by_length: dict[str, GroupFigures]

    def as_dict(self) -> dict[str, Any]:
        """For `metrics.json`: figures rounded to what the interval can tell apart."""
        return {
            "overall": rounded(asdict(self.overall)),
            "by_length": {name: rounded(asdict(group)) for name, group in self.by_length.items()},
        }


def train_detector(real: Sequence[str], generated: Sequence[str], seed: int) -> Detector:
    """Logistic regression (scikit-learn) on the texts' features, both kinds weighing the same.

    The regularisation is the one with the best log-likelihood in 5-fold cross-validation, so
    that a probability means what it says; the seed draws the folds.

    Raises:
        TrainingError: fewer texts of a kind than folds.
    """
    if min(len(real), len(generated)) < FOLDS:
        raise TrainingError(
            f"The detector has {len(real)} real and {len(generated)} generated texts to learn "
            f"from; at least {FOLDS} of each are needed."
        )
    is_generated = np.repeat([0, 1], [len(real), len(generated)])
    search = GridSearchCV(
        LogisticRegression(class_weight="balanced", max_iter=MAX_STEPS),
        {"C": REGULARISATIONS},
        scoring="neg_log_loss",
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=seed),
    )
    # On vectors this small, threads that wait for each other take many times as long as one.
    with threadpool_limits(1):
        search.fit(_matrix([*real, *generated]), is_generated)
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
    """How well the detector tells these texts apart, which it must not have learned from.

    Raises:
        TrainingError: there are none of one kind.
    """
    if not real or not generated:
        raise TrainingError("The detector can only be measured on texts of both kinds.")
    of_real, of_generated = _probabilities(detector, real), _probabilities(detector, generated)
    real_groups, generated_groups = _length_groups(real), _length_groups(generated)
    by_length = {
        name: _figures(of_real[real_groups == i], of_generated[generated_groups == i])
        for i, name in enumerate(_group_names())
        if (real_groups == i).any() and (generated_groups == i).any()
    }
    return DetectorFigures(_figures(of_real, of_generated), by_length)


def _matrix(texts: Sequence[str]) -> Any:
    """One row of features a text: sparse, `(texts, BUCKETS)`."""
    rows = [features(text) for text in texts]
    ends = np.cumsum([0, *(len(row.buckets) for row in rows)])
    buckets = np.concatenate([row.buckets for row in rows])
    values = np.concatenate([row.values for row in rows])
    return csr_matrix((values, buckets, ends), shape=(len(texts), BUCKETS))


def _probabilities(detector: Detector, texts: Sequence[str]) -> np.ndarray:
    return np.array([detector.judge(text).probability for text in texts])


def _length_groups(texts: Sequence[str]) -> np.ndarray:
    return np.searchsorted(LENGTH_GROUPS, [len(text) for text in texts], side="right") - 1


def _group_names() -> list[str]:
    """`0-59` and so on, `200+` at last: characters."""
    closed = [
        f"{low}-{high - 1}" for low, high in zip(LENGTH_GROUPS, LENGTH_GROUPS[1:], strict=False)
    ]
    return [*closed, f"{LENGTH_GROUPS[-1]}+"]


def _figures(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> GroupFigures:
    """Figures of probabilities, with a percentile bootstrap over the texts of each kind (Efron
    1979) by that seed."""
    chance = np.random.default_rng(seed)
    resampled = [
        (chance.choice(real, len(real)), chance.choice(generated, len(generated)))
        for _ in range(BOOTSTRAP_RESAMPLES)
    ]
    return GroupFigures(
        real=len(real),
        generated=len(generated),
        accuracy=_share(_accuracy(real, generated), [_accuracy(*pair) for pair in resampled]),
        roc_auc=_share(_roc_auc(real, generated), [_roc_auc(*pair) for pair in resampled]),
    )


def _share(value: float, resampled: Sequence[float]) -> Share:
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Share(value, float(low), float(high))


def _accuracy(real: np.ndarray, generated: np.ndarray) -> float:
    return float((real < 0.5).mean() + (generated >= 0.5).mean()) / 2


def _roc_auc(real: np.ndarray, generated: np.ndarray) -> float:
    """The share of pairs in the right order, a tie counting half (Mann and Whitney 1947)."""
    ordered = np.sort(real)
    below = np.searchsorted(ordered, generated, side="left")
    not_above = np.searchsorted(ordered, generated, side="right")
    return float((below + not_above).mean() / 2 / len(real))
