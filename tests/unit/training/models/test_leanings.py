"""Popularity by segment: what users lean to, and what people of their leaning turn to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal

from fusionrec.feature_spec import DAY_MS, EVENT_CODES
from fusionrec.transforms import ModelInput
from tests.suites.models import ModelSuite, weekly_shop
from training.interactions import Interactions
from training.models.leanings import FADE_EVENTS, item_kinds, leaning, shares_by_leaning
from training.models.popularity import Popularity, PopularityConfig
from training.models.protocol import Part
from training.shop import NOW_MS, Shop, two_taste_shop

HALF = 2.0 ** (-1.0 / FADE_EVENTS)


def with_kinds(data: Interactions) -> Interactions:
    """The first half of the items shares a word and so does the second; the last item has none."""
    n = data.n_items
    words = np.zeros((n + 1, 4), np.float32)
    words[1 : n // 2 + 1, :2], words[n // 2 + 1 : n, 2:] = [0.8, 0.6], [0.6, 0.8]
    return replace(data, content=sp.csr_matrix(words))


class TestPopularityBySegment(ModelSuite):
    reads_events = False

    @pytest.fixture(scope="class")
    @classmethod
    def shop(cls) -> Shop:
        shop = two_taste_shop()
        return Shop(with_kinds(shop.interactions), shop.withheld)

    @classmethod
    def make(cls, n_items: int) -> Part:
        return Popularity(n_items, PopularityConfig(n_segments=2, segment_prior=1.0))

    @pytest.fixture(scope="class")
    @classmethod
    def taught(cls) -> Part:
        return cls.make(30).fit(with_kinds(weekly_shop()), NOW_MS)

    def test_what_is_new_to_people_of_a_leaning_comes_first(self, model: Popularity, shop: Shop) -> None:
        assert model.by_leaning.shape == (3, 11)
        for item, own in ((1, range(2, 6)), (6, range(7, 11))):
            scores = model.score(history([item]))[0]
            others = [other for other in range(1, 11) if other != item and other not in own]
            assert min(scores[list(own)]) > max(scores[others])

    def test_a_user_whose_items_have_no_words_gets_the_shares_of_all(self, shop: Shop, model: Popularity) -> None:
        plain = Popularity(10).fit(shop.interactions, NOW_MS)
        assert_allclose(model.score(history([10])), plain.score(history([10])), rtol=1e-5)
        assert_allclose(model.score(history([0])), plain.score(history([0])), rtol=1e-5)
        assert abs(model.score(history([9])) - plain.score(history([9]))).max() > 0.1

    def test_without_words_everybody_does(self, shop: Shop) -> None:
        bare = replace(shop.interactions, content=None)
        found, plain = self.make(10).fit(bare, NOW_MS), Popularity(10).fit(bare, NOW_MS)
        assert_array_equal(found.score(history([1, 7])), plain.score(history([1, 7])))


def history(items: list[int]) -> ModelInput:
    n = len(items)
    return ModelInput(np.array([items]), np.full((1, n), EVENT_CODES["purchase"]), np.full((1, n), 3.0, np.float32))


def test_the_newest_events_have_the_most_say_in_a_leaning() -> None:
    kinds = torch.tensor([0, 1, 2, 2])
    found = leaning(kinds, torch.tensor([[0, 1, 2], [0, 0, 0], [3, 3, 2]]), 2)
    assert_allclose(found[0], [0.0, HALF / (1 + HALF), 1 / (1 + HALF)], rtol=1e-6)
    assert found[1].tolist() == [0.0, 0.0, 0.0]
    assert_allclose(found[2], [0.0, 0.0, 1.0], rtol=1e-6)


def test_shares_follow_the_formula_and_know_only_what_came_before() -> None:
    """Two users; item 1 is of kind 1, item 2 of kind 2, item 3 of none."""
    data = Interactions(
        3, np.array([0, 3, 5]), np.array([1, 2, 1, 2, 3]), np.ones(5, int), NOW_MS + np.arange(5) * DAY_MS,
        np.zeros(5, int),
    )  # fmt: skip
    shares = torch.tensor([0.0, 0.5, 0.3, 0.2])
    weights = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    table = shares_by_leaning(data, np.array([0, 1, 2, 0]), weights, shares, prior=2.0)
    first, second = HALF / (1 + HALF), 1 / (1 + HALF)  # of kinds 1 and 2, before the third event of the first user
    counts = np.array([[0, 0, 0, 0], [0, 4 * first, 2, 0], [0, 4 * second, 0, 16]])
    expected = (counts + 2.0 * shares.numpy()) / (counts.sum(axis=1, keepdims=True) + 2.0)
    assert_allclose(table, expected, rtol=1e-6)


def test_blocks_of_users_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    data = with_kinds(two_taste_shop().interactions)
    kinds, weights, shares = item_kinds(data, 2), np.ones(len(data)), torch.full((11,), 0.1)
    whole = shares_by_leaning(data, kinds, weights, shares, 1.0)
    monkeypatch.setattr("training.models.leanings._BLOCK", 9)
    assert_allclose(shares_by_leaning(data, kinds, weights, shares, 1.0), whole, rtol=1e-6)


def test_kinds_are_clusters_of_words() -> None:
    kinds = item_kinds(with_kinds(two_taste_shop().interactions), 2)
    assert kinds[0] == kinds[10] == 0
    assert len(set(kinds[1:6])) == len(set(kinds[6:10])) == 1
    assert {kinds[1], kinds[6]} == {1, 2}
