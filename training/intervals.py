"""95 % intervals: by bootstrap or jackknife over texts, Wilson's for shares of a count."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from demo.judging.judges import Share

RESAMPLES = 2_000
CONFIDENCE = 0.95
# Groups that a jackknife leaves out, one at a time.
_GROUPS = 20
# Resamples that are worked out at once: each is a copy of the figures of all texts.
_BATCH = 200


def bootstrap_interval(
    statistic: Callable[..., Any],
    samples: Sequence[np.ndarray],
    *,
    is_paired: bool = False,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Share:
    """A statistic of samples with the interval that resampling them gives (Efron 1979).

    Args:
        statistic: takes an array for each sample, and `axis`, along which its values lie.
        is_paired: whether the samples' values belong together, one by one.
    """
    value = float(statistic(*samples, axis=-1))
    # scipy refuses to resample a single value.
    if min(map(len, samples)) < 2:
        return Share(value, value, value)
    # Half a second to import, and training needs no intervals.
    from scipy.stats import bootstrap  # noqa: PLC0415

    low, high = bootstrap(
        samples,
        statistic,
        paired=is_paired,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Share(value, float(low), float(high))


def jackknife_interval(
    statistic: Callable[..., Any],
    samples: Sequence[np.ndarray],
    *,
    low: float = -np.inf,
    high: float = np.inf,
    seed: int = 0,
) -> Share:
    """A statistic of independent samples with the interval that leaving out one random group of
    their values at a time gives (Shao and Tu 1995, chapter 2.3).

    For distances between samples: resampling repeats values, and alone makes a distance larger.

    Args:
        statistic: takes an array for each sample.
        low, high: what the statistic can be at least and at most.
    """
    value = float(statistic(*samples))
    groups = min(_GROUPS, *map(len, samples))
    if groups < 2:
        return Share(value, value, value)
    from scipy.stats import t  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    # Random, because samples may be in an order: every second text has a prompt, say.
    members = [rng.permutation(len(sample)) % groups for sample in samples]
    rest = [
        float(statistic(*(s[of != group] for s, of in zip(samples, members, strict=True))))
        for group in range(groups)
    ]
    error = np.sqrt(groups - 1) * np.std(rest)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, groups - 1) * error)
    return Share(value, max(low, value - reach), min(high, value + reach))


def share(found: int, count: int) -> Share:
    """How many of a count as a share of it (Wilson 1927); of nothing, nothing is known."""
    from scipy.stats import binomtest  # noqa: PLC0415

    if not count:
        return Share(0.0, 0.0, 1.0)
    interval = binomtest(found, count).proportion_ci(CONFIDENCE, "wilson")
    return Share(found / count, float(interval.low), float(interval.high))
