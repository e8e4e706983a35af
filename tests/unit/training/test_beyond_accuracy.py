"""Variety, novelty, lift and calibration against slow, plain computations; what slates are held against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from training.background import Background
from training.beyond_accuracy import (
    BeyondAccuracy,
    gini,
    intra_list_diversity,
    miscalibration,
    novelty,
    popularity_lift,
)
from training.interactions import Requests
from training.shop import NOW_MS, two_taste_shop, with_answers

SLATES = np.random.default_rng(0).integers(1, 9, (7, 10))


def test_diversity_is_the_mean_over_pairs() -> None:
    rows = np.random.default_rng(1).random((9, 4)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    unit[0] = 0
    slates = np.array([[1, 2, 3], [4, 5, 0], [6, 0, 0]])
    found = intra_list_diversity(slates, sp.csr_matrix(unit))
    pairs = [1 - unit[a] @ unit[b] for a, b in ((1, 2), (1, 3), (2, 3))]
    assert found == pytest.approx([np.mean(pairs), 1 - unit[4] @ unit[5], 0.0], abs=1e-6)


def test_gini_is_nothing_when_all_items_get_the_same_and_nearly_one_when_one_gets_all() -> None:
    assert gini(np.array([[1, 2], [3, 4]]), n_items=4) == 0.0
    assert gini(np.full((50, 1), 3), n_items=100) == pytest.approx(0.99)
    assert gini(np.zeros((3, 2), np.int64), n_items=5) == 0.0  # nothing was shown


def test_empty_places_do_not_count_as_an_item() -> None:
    holders = np.array([99, 0, 3])
    assert novelty(np.array([[2, 0]]), holders, n_users=7).tolist() == [1.0]


def test_miscalibration_is_the_divergence_of_the_definition() -> None:
    categories = np.array([0, 1, 1, 2, 2, 3, 3, 0, 0])
    histories = sp.csr_matrix(np.random.default_rng(2).integers(0, 4, (7, 4)))
    found = miscalibration(SLATES, histories, categories)
    for row, slate in enumerate(SLATES):
        p = histories.toarray()[row, 1:] / max(histories.toarray()[row, 1:].sum(), 1)
        counts = np.bincount(categories[slate], minlength=4)[1:]
        q = 0.99 * counts / max(counts.sum(), 1) + 0.01 * p
        assert found[row] == pytest.approx(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a))


def test_a_user_without_history_has_no_taste_to_miss() -> None:
    found = miscalibration(np.array([[1], [1]]), sp.csr_matrix(np.array([[0, 1], [5, 0]])), np.array([0, 1]))
    assert found[0] == 0.0
    assert np.isnan(found[1])


def test_the_background_counts_users_once_and_interactions_all() -> None:
    shop = two_taste_shop(users=14, items=10).interactions
    twice = replace(shop, items=np.where(np.arange(len(shop)) < 4, 1, shop.items))  # user 0 has item 1 four times
    background = Background.of(twice)
    assert background.n_users == 14
    assert background.n_events[1] == background.n_holders[1] + 3
    assert background.likeness == "co-occurrence"
    assert background.vectors.shape == (11, 14)
    lengths = np.asarray(background.vectors.multiply(background.vectors).sum(axis=1)).ravel()
    assert lengths == pytest.approx([0.0] + [1.0] * 10)


def test_items_of_one_taste_are_less_diverse_and_better_calibrated_than_both() -> None:
    data = with_answers(two_taste_shop())
    ends = data.offsets[1:]
    requests = Requests(np.arange(14), ends - 1, ends, np.full(14, NOW_MS))
    tastes = np.array([0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2])
    beyond = BeyondAccuracy(Background.of(data.prefix(ends - 1), tastes), data, requests)
    own = np.array([[1, 2, 3, 4]] * 7 + [[6, 7, 8, 9]] * 7)
    mixed = np.array([[1, 2, 6, 7]] * 14)
    own_table, mixed_table = beyond.per_user(own), beyond.per_user(mixed)
    assert (own_table["miscalibration@10"] < 1e-9).all()
    assert (mixed_table["miscalibration@10"] > 0.6).all()
    assert (own_table["diversity@10"] < mixed_table["diversity@10"]).all()
    assert abs(own_table["popularity_lift@10"].mean()) < 0.05


def test_only_what_stands_before_the_request_is_its_history() -> None:
    data = with_answers(two_taste_shop())
    first = data.offsets[:-1] + 1  # one item of history
    requests = Requests(np.array([3, 8]), first[[3, 8]], first[[3, 8]] + 1, np.full(2, NOW_MS))
    background = Background.of(data, np.arange(11))
    beyond = BeyondAccuracy(background, data, requests)
    own = data.items[first[[3, 8]] - 1]
    assert beyond.profiles == pytest.approx(background.popularity()[own])
    assert (beyond.per_user(own[:, None])["miscalibration@10"] < 1e-9).all()


def test_lift_is_measured_by_the_mean_profile_and_users_without_one_have_none() -> None:
    profiles = np.array([0.1, 0.1, 0.4, np.nan])
    found = popularity_lift(np.array([[1], [1], [1], [1]]), profiles, np.array([0.0, 0.4]))
    assert found[:3] == pytest.approx(1.0)
    assert np.isnan(found[3])


def test_only_the_first_places_count() -> None:
    data = two_taste_shop().interactions
    requests = Requests(np.arange(14), data.offsets[1:], data.offsets[1:], np.full(14, NOW_MS))
    beyond = BeyondAccuracy(Background.of(data, np.arange(11)), data, requests)
    long = np.tile(np.arange(1, 11), (14, 1))
    for name, values in beyond.per_user(long, k=3).items():
        assert values == pytest.approx(beyond.per_user(long[:, :3], k=3)[name], nan_ok=True), name
        assert values != pytest.approx(beyond.per_user(long)[name.replace("@3", "@10")], nan_ok=True), name


def test_novelty_counts_the_users_of_the_background() -> None:
    """With the withheld items all seven users of a taste had each of its items; 14 users in all."""
    data = with_answers(two_taste_shop())
    users, ends = np.arange(data.n_users), data.offsets[1:]
    background = Background.of(data)
    beyond = BeyondAccuracy(background, data, Requests(users, ends - 1, ends, np.full(len(users), NOW_MS)))
    slates = np.tile([1, 6], (data.n_users, 1))
    assert background.n_holders[[1, 6]].tolist() == [7, 7]
    assert beyond.per_user(slates)["novelty@10"] == pytest.approx(np.full(14, np.log2(15 / 8)))
