"""What a user took away is history: no part learns it as what the user turned to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fusionrec.feature_spec import DAY_MS, EVENT_CODES
from training.interactions import Interactions
from training.models.als import AlsConfig, strongest_event
from training.models.ease import seen_matrix
from training.models.item_knn import newest
from training.models.popularity import Popularity
from training.models.slist import SlistConfig, followers, histories
from training.models.transitions import TransitionsConfig, follow, successions
from training.models.two_tower import TwoTowerConfig
from training.models.windows import Windows, WindowsConfig


@pytest.fixture
def data() -> Interactions:
    """One user: 1, 2, removal of 3, 4; another: 5, removal of 5."""
    kinds = np.full(6, EVENT_CODES["purchase"])
    kinds[[2, 5]] = EVENT_CODES["removal"]
    return Interactions(
        n_items=5,
        offsets=np.array([0, 4, 6]),
        items=np.array([1, 2, 3, 4, 5, 5]),
        events=kinds,
        sent_at=np.arange(6) * DAY_MS,
        sessions=np.zeros(6, np.int64),
        prices=np.arange(1.0, 7.0, dtype=np.float32),
    )


def test_who_had_what_does_not_count_them(data: Interactions) -> None:
    assert_array_equal(seen_matrix(data).toarray(), [[0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1]])


def test_nothing_follows_them_and_they_follow_nothing(data: Interactions) -> None:
    followers = follow(data, TransitionsConfig(backwards=0.0, decay=0.5))
    assert {(int(i), int(j)): float(followers[i, j]) for i, j in zip(*followers.nonzero(), strict=True)} == {
        (1, 2): 1.0,
        (2, 4): 0.5,
        (1, 4): 0.25,
    }
    assert sorted(zip(*(axis.tolist() for axis in successions(data).nonzero()), strict=True)) == [(1, 2)]


def test_they_are_not_what_followed_and_argue_for_nothing(data: Interactions) -> None:
    """SLIST: after 1 come 2 and, two steps on, 4; item 3 neither follows nor is followed, and 5 was bought last."""
    config = SlistConfig(decay=0.5)
    after, before = followers(data, config).toarray(), histories(data, config).toarray()
    assert_array_equal(after[:2, 1:], [[0, 1, 0, 0.25, 0], [0, 0, 0, 0.5, 0]])
    assert not after[[3, 4, 5]].any()
    assert not before[:, 3].any()
    assert before[:2, 1].all()


def test_no_model_of_who_had_what_confides_in_them(data: Interactions) -> None:
    weights = np.array(AlsConfig().fading.event_weights, np.float32)
    found = strongest_event(data, weights)
    assert_array_equal(found.toarray() > 0, seen_matrix(data).toarray() > 0)
    assert found.nnz == seen_matrix(data).nnz, "what is stored counts as had"


def test_they_make_nothing_popular(data: Interactions) -> None:
    """Of an item that was only removed as little is known as of one that nobody touched."""
    more = replace(data, n_items=6)
    popularity = Popularity(6).fit(more, 6 * DAY_MS).popularity
    assert popularity[3] == popularity[6]
    assert popularity[[1, 2, 4, 5]].min() > 2 * popularity[3]


def test_the_towers_weigh_them_as_no_target() -> None:
    assert TwoTowerConfig().event_weights[EVENT_CODES["removal"]] == 0.0


def test_they_are_no_targets_of_sequences(data: Interactions) -> None:
    windows = Windows(data, np.arange(6), width=10, config=WindowsConfig(n_targets=3))
    targets = [set(batch.targets[batch.targets > 0].tolist()) for batch in windows.batches(0)]
    assert set().union(*targets) == {2, 4}
    assert 3 in {item for batch in windows.batches(0) for item in batch.items.flatten().tolist()}


def test_the_newest_of_each_user_keep_their_prices(data: Interactions) -> None:
    kept = newest(data, 2)
    assert_array_equal(kept.items, [3, 4, 5, 5])
    assert_array_equal(kept.offsets, [0, 2, 4])
    assert kept.prices is not None
    assert_array_equal(kept.prices, [3, 4, 5, 6])
    assert len(kept.prefix(np.array([1, 4]))) == 3
