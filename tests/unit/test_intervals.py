"""Intervals held against those of formulas."""

import numpy as np
import pytest
from scipy.stats import t

from training.intervals import jackknife_interval

CHANCE = np.random.default_rng(0)


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    values = CHANCE.normal(3, 2, 20)
    found = jackknife_interval(np.mean, (values,))
    low, high = t.interval(0.95, 19, values.mean(), values.std(ddof=1) / np.sqrt(20))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))
    # In groups, a value differs by which values fall together.
    many = CHANCE.normal(3, 2, 2000)
    grouped = jackknife_interval(np.mean, (many,))
    assert grouped.high - grouped.low == pytest.approx(4 * 2 / np.sqrt(2000), rel=0.4)


def test_an_interval_of_two_samples_is_as_wide_as_both_together() -> None:
    ours, theirs = CHANCE.normal(0, 1, 1000), CHANCE.normal(0, 2, 500)
    found = jackknife_interval(lambda a, b: a.mean() - b.mean(), (ours, theirs))
    error = np.hypot(1 / np.sqrt(1000), 2 / np.sqrt(500))
    assert found.high - found.low == pytest.approx(2 * 2.09 * error, rel=0.4)


def test_an_interval_stays_within_what_is_possible_and_one_value_has_none() -> None:
    ours, theirs = CHANCE.normal(0, 1, (2, 50))
    near = jackknife_interval(lambda a, b: abs(a.mean() - b.mean()), (ours, theirs), low=0, high=1)
    assert 0 <= near.low <= near.value <= near.high <= 1
    one = jackknife_interval(np.mean, (np.array([2.0]),))
    assert (one.value, one.low, one.high) == (2, 2, 2)
