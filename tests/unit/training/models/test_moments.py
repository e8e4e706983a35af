"""The moments that the two towers learn from: what is history, what is a target, what is drawn against it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tests.suites.towers import in_turn, moments
from training.models.moments import Moments, MomentsConfig, share
from training.shop import two_taste_shop


def test_a_history_ends_before_its_target() -> None:
    """Ten events of one user, item n at day n: the history is what came just before, oldest first."""
    data = in_turn(10)
    made = Moments(data, MomentsConfig(batch_size=4, max_history=3))
    seen = []
    for batch in made.batches(0):
        for row in range(len(batch.targets)):
            target = int(batch.targets[row])
            history = [item for item in batch.items[row].tolist() if item]
            assert history == list(range(max(1, target - 3), target))
            assert (batch.age_days[row][batch.items[row] > 0] >= 0).all()
            seen.append(target)
    assert sorted(seen) == list(range(2, 11))
    assert made.n_batches == 3


def test_targets_are_drawn_from_what_follows_of_the_same_user() -> None:
    data = in_turn(6, users=2)
    targets: dict[int, set[int]] = {}
    for epoch in range(40):
        for batch in Moments(data, MomentsConfig(max_history=1, n_targets=2)).batches(epoch):
            for newest, target in zip(batch.items[:, -1].tolist(), batch.targets.tolist(), strict=True):
                targets.setdefault(newest, set()).add(target)
    assert targets[1] == {2, 3}
    assert targets[5] == {6}


def test_negatives_follow_popularity_to_a_power() -> None:
    data = replace(in_turn(10), items=np.array([1] * 8 + [2] * 1 + [3] * 1))
    made = Moments(data, MomentsConfig(n_negatives=20_000, popularity_power=0.5))
    drawn = torch.bincount(next(made.batches(0)).negatives, minlength=11)[:4] / 20_000
    wanted = np.sqrt([0, 8, 1, 1])
    assert_allclose(drawn, wanted / wanted.sum(), atol=0.02)


def test_processes_share_the_moments_and_not_the_negatives() -> None:
    batch = moments(two_taste_shop().interactions)
    shares = [share(batch, rank, 3) for rank in range(3)]
    assert sum(weight for _, weight in shares) == pytest.approx(1.0)
    targets = torch.cat([mine.targets for mine, _ in shares])
    assert sorted(targets.tolist()) == sorted(batch.targets.tolist())
    assert all(torch.equal(mine.negatives, batch.negatives) for mine, _ in shares)
