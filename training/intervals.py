"""95 % intervals of figures: by bootstrap over texts, or Wilson's for shares of a count."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from demo.judging.judges import Share

RESAMPLES = 2_000
CONFIDENCE = 0.95
# Resamples that are worked out at once: each is a copy of the figures of all texts.
_BATCH = 200


def bootstrap_interval(
    statistic: Callable[..., Any],
    samples: Sequence[np.ndarray],
    *,
    is_paired: bool = False,
    method: str = "percentile",
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Share:
    """A statistic of samples with the interval that resampling them gives (Efron 1979).

    Args:
        statistic: takes an array for each sample, and `axis`, along which its values lie.
        is_paired: whether the samples' values belong together, one by one.
        method: scipy's; "basic" for a distance, which resampling alone makes larger.
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
        method=method,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Share(value, float(low), float(high))


def share(found: int, count: int) -> Share:
    """How many of a count as a share of it (Wilson 1927); of nothing, nothing is known."""
    from scipy.stats import binomtest  # noqa: PLC0415

    if not count:
        return Share(0.0, 0.0, 1.0)
    interval = binomtest(found, count).proportion_ci(CONFIDENCE, "wilson")
    return Share(found / count, float(interval.low), float(interval.high))
