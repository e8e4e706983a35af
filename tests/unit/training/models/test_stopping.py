"""What is held out to stop by, what it is worth, and that parts stop and keep their best epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.suites.models import shop_inputs
from training.content import rare_terms
from training.interactions import Interactions, Requests
from training.loop import LoopConfig
from training.models.attention import Attention, AttentionConfig
from training.models.moments import MomentsConfig
from training.models.protocol import QUIET, Part, Run
from training.models.stopping import mean_gain, stopping
from training.models.two_tower import TwoTower, TwoTowerConfig
from training.shop import NOW_MS, two_taste_shop


class Fixed(Part):
    """The same scores for everybody."""

    name: ClassVar[str] = "fixed"

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores, self.n_items = torch.tensor([0.0, *scores]), len(scores)

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        return self

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        return self.scores.expand(len(history_items), -1)


@pytest.fixture(scope="module")
def shop() -> Interactions:
    """50 users, four events each, and words of the items."""
    words = rare_terms([set(), *({"sweet" if item <= 5 else "salty"} for item in range(1, 11))], max_share=0.6)
    return replace(two_taste_shop(users=50, items=10).interactions, content=words)


def asked(data: Interactions, *wanted: int) -> Requests:
    """One request for each of these items: the first event of the user that has it as its last."""
    ends = np.array([int(np.flatnonzero(data.items == item)[0]) for item in wanted])
    users = data.users[ends]
    return Requests(users, ends, ends + 1, data.sent_at[ends])


def test_without_patience_everything_is_learnt(shop: Interactions) -> None:
    data, validate = stopping(Fixed([0.0] * 10), shop, LoopConfig(patience=0))
    assert data is shop
    assert validate is None


def test_last_events_of_a_tenth_of_the_users_are_held_out(shop: Interactions) -> None:
    data, validate = stopping(Fixed([0.0] * 10), shop, LoopConfig(patience=1))
    assert validate is not None
    shorter = np.diff(shop.offsets) - np.diff(data.offsets)
    assert shorter.sum() == 5
    assert shorter.max() == 1
    user = int(shorter.argmax())
    mine = slice(shop.offsets[user], shop.offsets[user + 1] - 1)
    assert data.items[data.offsets[user] : data.offsets[user + 1]].tolist() == shop.items[mine].tolist()
    other, _ = stopping(Fixed([0.0] * 10), shop, LoopConfig(patience=1, seed=1))
    assert (np.diff(other.offsets) != np.diff(data.offsets)).any()


def test_where_histories_are_short_nothing_is_held_out(shop: Interactions) -> None:
    short = shop.prefix(shop.offsets[:-1] + 2)
    data, validate = stopping(Fixed([0.0] * 10), short, LoopConfig(patience=1))
    assert data is short
    assert validate is None


def test_the_gain_is_that_of_the_rank_and_equal_scores_do_not_help(shop: Interactions) -> None:
    part = Fixed([9.0, 8.0, 7.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert mean_gain(part, shop, asked(shop, 1, 3)) == pytest.approx((1.0 + 0.5) / 2)  # ranks 1 and 3
    assert mean_gain(part, shop, asked(shop, 4)) == pytest.approx(1 / np.log2(11))  # one of seven behind three


def attention(**settings: object) -> Attention:
    loop = LoopConfig(n_epochs=30, learning_rate=3e-2, **settings)  # type: ignore[arg-type]
    return Attention(10, AttentionConfig(dim=8, n_layers=1, max_length=4, side=2, loop=loop))


def two_tower(**settings: object) -> TwoTower:
    loop = LoopConfig(n_epochs=30, learning_rate=3e-2, **settings)  # type: ignore[arg-type]
    return TwoTower(10, TwoTowerConfig(dim=8, n_attributes=2, loop=loop, moments=MomentsConfig(n_negatives=3)))


PARTS = pytest.mark.parametrize("made", [attention, two_tower])


@PARTS
def test_a_part_stops_and_keeps_its_best_epoch(made: Callable[..., Part], shop: Interactions) -> None:
    values: list[float] = []

    def record(name: str, value: float, _: int) -> None:
        values.extend([value] * (name == "validation"))

    part = made(patience=2).fit(shop, NOW_MS, Run(record=record))
    assert 3 <= len(values) < 30
    best = int(np.argmax(values))
    assert len(values) == best + 1 + 2
    known, _ = stopping(part, shop, LoopConfig(patience=2))
    users = np.flatnonzero(np.diff(shop.offsets) > np.diff(known.offsets))
    last = shop.offsets[users + 1] - 1
    held = Requests(users, last, last + 1, shop.sent_at[last])
    assert mean_gain(part, shop, held) == pytest.approx(values[best], rel=1e-5)


@PARTS
def test_scores_while_it_learns_are_those_that_it_would_have(made: Callable[..., Part], shop: Interactions) -> None:
    """A search prunes by them."""
    part, inputs, seen = made(), shop_inputs(two_taste_shop()), []
    part.fit(shop, NOW_MS, Run(after_epoch=lambda share: seen.append(part.score(inputs)[:, 1:])))
    assert len(seen) == 30
    np.testing.assert_allclose(seen[-1], part.score(inputs)[:, 1:], rtol=1e-4, atol=1e-5)
