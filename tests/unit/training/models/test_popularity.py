"""Popularity against the shared suite, and what it expects to be bought again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.suites.models import ModelSuite, history, one_user, weekly_shop
from training.models.popularity import Popularity, PopularityConfig
from training.models.protocol import Part
from training.shop import NOW_MS

OVERDUE = 2  # its column of the evidence


class TestPopularity(ModelSuite):
    reads_events = False

    @classmethod
    def make(cls, n_items: int) -> Part:
        return Popularity(n_items)

    @pytest.fixture(scope="class")
    @classmethod
    def taught(cls) -> Part:
        return cls.make(30).fit(weekly_shop(), NOW_MS)

    def test_recent_purchases_weigh_more(self) -> None:
        ages = np.array([1, 1, 100, 100, 100])
        data = one_user(items=[1, 1, 2, 2, 2], ages=ages)
        model = Popularity(3, PopularityConfig(half_life_days=10.0)).fit(data, NOW_MS)
        assert model.popularity[1] > model.popularity[2] > model.popularity[3] > 0.0
        assert_allclose(model.popularity.sum(), 1.0, rtol=1e-5)

    def test_who_buys_weekly_gets_it_again(self) -> None:
        """Item 1 is a weekly habit of everybody who has it; item 5 is bought once and never again."""
        model = Popularity(30).fit(weekly_shop(), NOW_MS)
        regular = np.exp(model.score(history([1, 1, 1, 5], [21.0, 14.0, 7.0, 9.0]))[0])
        newcomer = np.exp(model.score(history([5], [9.0]))[0])
        assert regular[1] > 1.3 * newcomer[1]
        assert newcomer[5] < 1.1 * regular[5]
        assert newcomer[5] < 1.1 * np.exp(model.score(history([6], [9.0]))[0, 5])


@pytest.mark.parametrize(
    ("ages", "odds"),
    [([28.0, 21.0, 14.0], 16 / 9), ([74.0, 44.0, 14.0], 16 / 32), ([14.0], 1.0)],
    ids=["weekly", "monthly", "once"],
)
def test_who_is_overdue_by_its_own_interval_buys_again(ages: list[float], odds: float) -> None:
    """With the same last purchase and as many of them, a weekly buyer is late and a monthly one early: the odds are
    (age + 2) / (interval + 2). One purchase makes no interval."""
    model = Popularity(3)
    model.intercept.zero_()
    model.coefficients[OVERDUE] = 1.0
    scores = model.score(history([2] * len(ages), ages))[0]
    assert_allclose(np.exp(scores[2]), odds / (1 + odds), rtol=1e-5)
