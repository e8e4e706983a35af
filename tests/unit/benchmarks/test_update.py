"""The benchmark of updates measures what it says, on a random shop."""

from __future__ import annotations

import numpy as np

from benchmarks.update import compared, earlier, equality, greatest_difference, random_case
from training.models.ease import Ease, EaseConfig


def test_an_update_equals_a_fit() -> None:
    measured = equality(random_case(), 8)
    assert measured["n_changed_users"] == 8
    assert measured["ease_by_woodbury"]
    assert measured["greatest_difference_of_precise_weights"] < 1e-10
    for part in ("ease", "transitions"):
        assert measured[part]["greatest_difference_of_weights"] < 2e-6
        assert measured[part]["greatest_weight"] > 0.01
        assert abs(measured[part]["ndcg@10_updated"] - measured[part]["ndcg@10_fitted"]) < 1e-3


def test_changed_users_lack_their_last_fifth() -> None:
    data = random_case().data
    before = earlier(data, 8)
    lacking = np.diff(data.offsets) - np.diff(before.offsets)
    assert (lacking > 0).sum() == 8
    assert set(lacking[lacking > 0].tolist()) <= set(range(2, 7))


def test_differences_of_weights_are_seen() -> None:
    data = random_case().data
    one, other = (Ease(data.n_items, EaseConfig(l2=l2)).fit(data, 0) for l2 in (5.0, 6.0))
    assert greatest_difference(one, one) == 0.0
    assert greatest_difference(one, other) > 1e-3


def test_pairs_are_of_the_same_users() -> None:
    better = np.array([0.2, 0.4, 0.6])
    paired = compared({"as it was": better - 0.1, "fine-tuned": better, "trained anew": better}, ["fine-tuned"])[
        "paired"
    ]
    assert abs(paired["fine-tuned minus as it was"]["difference"] - 0.1) < 1e-9
    assert paired["fine-tuned minus trained anew"]["difference"] == 0.0
