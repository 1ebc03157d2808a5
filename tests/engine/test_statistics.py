"""Intervals against what is known of means."""

import numpy as np
import pytest

from ddcam.engine.statistics import estimate, paired


def test_the_interval_of_a_mean_is_that_of_the_normal_law_where_there_are_many_pictures() -> None:
    values = np.random.default_rng(1).normal(2, 3, 4000)
    found = estimate(values)

    assert found is not None
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.06)


def test_intervals_hold_the_true_mean_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    found = [estimate(random.exponential(1, 60), seed) for seed in range(200)]

    assert 0.88 <= np.mean([e is not None and e.low <= 1 <= e.high for e in found]) <= 0.99


def test_pictures_without_a_value_do_not_count() -> None:
    found = estimate(np.array([1, np.nan, 3.0]))

    assert found is not None
    assert (found.mean, found.count) == (2, 2)
    assert estimate(np.array([np.nan])) is None


def test_a_difference_is_of_the_pictures_that_have_both() -> None:
    found = paired(np.array([5.0, 6, np.nan, 9]), np.array([4.0, np.nan, 1, 8]))

    assert found is not None
    assert (found.mean, found.low, found.high, found.count, found.clear) == (1, 1, 1, 2, True)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.arange(20.0)

    assert estimate(values, 3) == estimate(values, 3) != estimate(values, 4)
