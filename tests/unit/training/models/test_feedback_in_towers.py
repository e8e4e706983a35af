"""What the two towers learn from feedback: what was on display and not touched, and what labels say of a target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.testing import assert_allclose

from fusionrec.transforms import ModelInput
from tests.suites.towers import PURCHASE, SMALL, in_turn, learner, moments
from training.interactions import Feedback, Interactions
from training.models.moments import Moments, share
from training.models.two_tower import TwoTower
from training.shop import NOW_MS, two_taste_shop


def told(data: Interactions, **fields) -> Interactions:
    """Before each user's third item, items 9 and 10 were refused."""
    third = data.offsets[:-1] + 2
    plain = Feedback(
        worth=np.full(len(data), np.nan, np.float32),
        refused=np.repeat(third, 2),
        items=np.tile([9, 10], data.n_users),
        weights=np.full(2 * data.n_users, 0.5, np.float32),
    )
    return replace(data, feedback=replace(plain, **fields))


def test_refusals_go_with_the_moment_that_they_precede() -> None:
    batch = moments(told(in_turn(4, users=3)))
    expected = batch.targets == 3
    assert expected.sum() == 3
    assert batch.refused is not None
    assert batch.refused_weights is not None
    assert batch.refused[expected].min() >= 9
    assert not batch.refused[~expected].any()
    assert batch.refused_weights.tolist() == expected.float().tolist()  # one drawn of two that count 0.5


def test_the_loss_adds_the_refused_and_takes_the_label_for_the_worth() -> None:
    data = told(in_turn(4), worth=np.array([np.nan, 2.0, np.nan, 0.0], np.float32))
    model, batch = learner(data), moments(data)
    query = model.users(model.items(batch.items), batch.items, batch.events, batch.age_days) @ model.form
    bias = model.bias - model.log_drawn
    expected = 0.0
    for row, target in enumerate(batch.targets.tolist()):
        logits = query[row] @ model.items(torch.arange(11)).T + bias
        worth = {2: 2.0, 3: 1.0, 4: 0.0}[target]
        unwanted = torch.log1p(logits[batch.negatives].exp()).sum()
        expected += worth * (torch.log1p((-logits[target]).exp()) + unwanted)
        if target == 3:
            expected += 0.3 * 1.0 * torch.log1p(logits[batch.refused[row]].exp())
    assert_allclose(float(model.loss(batch)), float(expected) / 3, rtol=1e-4)


def test_a_refused_item_sinks_for_those_who_refused_it() -> None:
    shop = two_taste_shop()
    data = shop.interactions
    own = np.where(data.users < 7, 1, 10)
    refused = Feedback(
        np.full(len(data), np.nan, np.float32), np.arange(len(data)), own, np.ones(len(data), np.float32)
    )
    plain = TwoTower(10, SMALL).fit(data, NOW_MS)
    taught = TwoTower(10, replace(SMALL, refusal=3.0)).fit(replace(data, feedback=refused), NOW_MS)
    history = ModelInput(np.array([[2, 3, 4]]), np.full((1, 3), PURCHASE), np.array([[3.0, 2.0, 1.0]], np.float32))

    def lead(model: TwoTower) -> float:
        """Of item 1 before the mean of the others of its taste."""
        scores = model.score(history)[0]
        return float(scores[1] - scores[2:6].mean())

    assert lead(taught) < lead(plain) - 0.5


def test_without_a_label_a_fit_is_the_same() -> None:
    data = two_taste_shop().interactions
    nothing = np.zeros(0, np.int64)
    empty = Feedback(np.full(len(data), np.nan, np.float32), nothing, nothing, np.zeros(0, np.float32))
    ones = next(Moments(data, SMALL.moments).batches(0))
    others = next(Moments(replace(data, feedback=empty), SMALL.moments).batches(0))
    assert ones.worth is None
    assert all(bool((a == b).all()) for a, b in zip(ones[:6], others[:6], strict=True))
    model = learner(data)
    assert float(model.loss(ones)) == float(model.loss(others))


def test_a_cut_keeps_what_was_shown_before_the_last_interaction_that_stays() -> None:
    data = told(in_turn(4, users=2), worth=np.arange(8, dtype=np.float32))
    cut = data.prefix(np.array([2, 8])).feedback
    assert cut is not None
    assert cut.worth.tolist() == [0, 1, 4, 5, 6, 7]
    assert cut.refused.tolist() == [4, 4]  # the first user's third item is gone, and what it was shown before it


def test_processes_share_refusals_with_their_moments() -> None:
    batch = moments(told(in_turn(4, users=3)))
    parts = [share(batch, rank, 2)[0] for rank in range(2)]
    for part in parts:
        assert part.refused is not None
        assert (part.refused > 0).tolist() == (part.targets == 3).tolist()
