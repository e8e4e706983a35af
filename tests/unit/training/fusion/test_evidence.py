"""What the second stage is told of items and of users, in numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from fusionrec.feature_spec import DAY_MS, EVENT_CODES
from training.fusion.evidence import gather_evidence, width_of_user
from training.fusion.facts import ItemFacts
from training.interactions import Interactions
from training.models.popularity import Popularity
from training.shop import NOW_MS

FACTS = torch.zeros(13, 4)
FACTS[1:3] = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 9]])


@pytest.fixture(scope="module")
def data() -> Interactions:
    """The first user has items 1 and 2, the second 2, 1 and 1, a third none; nobody has item 3."""
    days_ago = np.array([9, 4, 20, 3, 1])
    return Interactions(
        n_items=3,
        offsets=np.array([0, 2, 5, 5]),
        items=np.array([1, 2, 2, 1, 1]),
        events=np.full(5, EVENT_CODES["purchase"]),
        sent_at=NOW_MS - days_ago * DAY_MS,
        sessions=np.array([0, 1, 0, 1, 2]),
    )


def test_facts_tell_popularity_place_and_age(data: Interactions) -> None:
    """Item 1 stands 1st of 2, 2nd and 3rd of 3; each was once the newest."""
    found = ItemFacts(3).fit(data, NOW_MS).table
    one = [np.log(4), np.log(2 / 4), (1 / 2 + 2 / 3 + 1) / 3, np.log(1 + 9)]
    two = [np.log(3), np.log(2 / 3), (1 + 1 / 3) / 2, np.log(1 + 20)]
    assert_allclose(found, [[0.0] * 4, one, two, [0.0] * 4], rtol=1e-6)


def test_made_up_times_tell_no_age(data: Interactions) -> None:
    dated, plain = (ItemFacts(3).fit(replace(data, has_times=told), NOW_MS).table for told in (True, False))
    assert not plain[:, 3].any()
    assert torch.equal(plain[:, :3], dated[:, :3])


def user_of(histories: list[list[int]], age_days: list[list[float]], scores: Tensor) -> Tensor:
    """What the evidence says of these users, (B, S). scores: (P, C), the same for everybody"""
    n_parts, n_candidates = scores.shape
    everybody = scores.expand(len(histories), -1, -1)
    candidates = torch.arange(1, n_candidates + 1).expand(len(histories), -1)
    real = torch.ones(candidates.shape, dtype=torch.bool)
    history = torch.tensor(histories), torch.tensor(age_days)
    parts = [Popularity(12) for _ in range(n_parts)]
    return gather_evidence(parts, FACTS, history, candidates, everybody, everybody, real).user


def test_a_user_is_told_by_its_situation_its_items_and_how_sure_the_parts_are() -> None:
    """Twelve candidates in steps: the first stands 11 / spread above the mean, 18 / spread above the tenth. The
    second part knows two groups of six, one spread above and one below the mean."""
    steps = torch.arange(11.0, -12.0, -2.0)
    groups = torch.tensor([1.0, -1.0] * 6)
    histories = [[0, 0, 0, 2, 1, 2], [0] * 6, [1, 1, 1, 1, 1, 2], [0, 0, 0, 0, 1, 1]]
    ages = [[0, 0, 0, 30, 8, 2.0], [0] * 6, [9, 8, 7, 6, 5, 0.0], [0, 0, 0, 0, 9, 6.0]]
    found = user_of(histories, ages, torch.stack([5 + 3 * steps, groups]))

    situations = [
        [np.log(4) / 5, np.log(3) / 5, 1 / 3, 0],
        [0, 0, 0, 1],
        [np.log(7) / 5, 0, 2 / 3, 0],
        [np.log(3) / 5, np.log(7) / 5, 1 / 2, 0],
    ]
    few = [[0, 1], [1, 1], [0, 0], [1, 1]]
    means = [[11 / 3, 14 / 3, 17 / 3, 22 / 3], [0] * 4, [10 / 6, 16 / 6, 22 / 6, 29 / 6], [1, 2, 3, 4]]
    newest = [[5, 6, 7, 9], [0] * 4, [5, 6, 7, 9], [1, 2, 3, 4]]
    spread = np.sqrt(143 / 3)
    sure = [[11 / spread, 1, 18 / spread, 2]] * 4
    assert found.shape == (4, width_of_user(2))
    assert_allclose(found, np.concatenate([situations, few, means, newest, sure], axis=1), rtol=1e-5, atol=1e-6)


def test_with_fewer_than_ten_candidates_the_last_stands_for_the_tenth() -> None:
    found = user_of([[1]], [[0.0]], torch.tensor([[1.0, -1.0]]))
    assert_allclose(found[0, -2:], [1.0, 2.0], rtol=1e-6)
