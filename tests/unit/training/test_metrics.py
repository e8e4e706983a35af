"""Every metric's worked number, and the intervals."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from training import metrics


def test_the_worked_numbers_in_the_docstrings() -> None:
    outcome = doctest.testmod(metrics)
    assert outcome.attempted >= 8
    assert outcome.failed == 0


def test_a_user_with_more_relevant_items_than_places_can_reach_one() -> None:
    table = metrics.per_user(np.ones((1, 20), bool), np.array([56]))
    assert all(table[f"{name}@{k}"][0] == pytest.approx(1.0) for name in ("hr", "ndcg", "mrr") for k in metrics.CUTS)
    assert table["recall@10"][0] == 10 / 56


def test_the_interval_holds_the_mean_and_narrows_with_users() -> None:
    values = np.random.default_rng(0).random(2000)
    few = metrics.interval(values[:50], metrics.resample_weights(50))
    many = metrics.interval(values, metrics.resample_weights(2000))
    assert few[1] < few[0] < few[2]
    assert many[2] - many[1] < (few[2] - few[1]) / 4


def test_the_paired_test_sees_a_small_steady_gain_that_the_intervals_hide() -> None:
    worse = np.random.default_rng(1).random(200)
    weights = metrics.resample_weights(200)
    better = worse + 0.01
    assert metrics.interval(better, weights)[1] < metrics.interval(worse, weights)[2]  # they overlap
    assert metrics.paired_test(better, worse, weights)["low"] > 0
    assert metrics.paired_test(worse, worse, weights)["p_value"] == 1.0


def test_the_interval_leaves_out_a_fortieth_at_each_end() -> None:
    """A thousand and one resamples, each of one user, whose values are 0 to 1000."""
    assert metrics.interval(np.arange(1001.0), np.eye(1001)) == pytest.approx((500.0, 25.0, 975.0))


def test_the_interval_is_as_wide_as_chance_makes_it() -> None:
    """Of 400 users half have the outcome: 1.96 standard errors, of half by the root of 400, to either side."""
    _, low, high = metrics.interval(np.arange(400) % 2.0, metrics.resample_weights(400))
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.1)


def test_the_p_value_counts_both_ends() -> None:
    """One of ten resamples says that there is no gain: a tenth at one end, so two tenths, and a tenth to be careful."""
    gains = np.array([-1.0, *([1.0] * 9)])
    found = metrics.paired_test(gains, np.zeros(10), np.eye(10))
    assert found["p_value"] == pytest.approx(0.3)
    assert metrics.paired_test(np.zeros(10), gains, np.eye(10))["p_value"] == pytest.approx(0.3)


def test_resamples_follow_the_seed() -> None:
    once, again, other = (metrics.resample_weights(9, 20, seed) for seed in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_coverage_looks_at_the_first_places_only() -> None:
    assert metrics.coverage(np.array([[1, 2, 3], [2, 1, 4]]), n_items=4, k=2) == 0.5
