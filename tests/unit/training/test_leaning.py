"""What the fusion leans on: shares of the parts, worked out by hand, and that they follow the user's situation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from training.evaluate import evaluate
from training.fusion.ranker import FusedRanker
from training.leaning import allowed_items, shares
from training.protocols import leave_one_out
from training.shop import toy_ranker, two_taste_shop


def told(contributions: Tensor, scores: Tensor) -> Tensor:
    """Shares of parts that contributed (B, K, P)."""
    ranker = SimpleNamespace(
        standardised=lambda *_: None, answer=lambda *_: (None, scores, contributions, torch.zeros(len(scores)))
    )
    history = (torch.ones(len(scores), 1).long(), torch.ones(len(scores), 1).long(), torch.zeros(len(scores), 1))
    return shares(cast(FusedRanker, cast(Any, ranker)), history, torch.ones(len(scores), 3, dtype=torch.bool))


def test_shares_of_what_lifts() -> None:
    """First item 3 : 1, second 0 : 2, what pulls down not counted; the third place is empty."""
    contributions = torch.tensor([[[3.0, 1.0], [-5.0, 2.0], [9.0, 0.0]]])
    found = told(contributions, torch.tensor([[1.0, 0.5, -torch.inf]]))
    assert_allclose(found, [[0.75 / 2, 1.25 / 2]], rtol=1e-6)


def test_only_the_first_ten_items_and_those_that_something_lifts_count() -> None:
    contributions = torch.zeros(1, 12, 2)
    contributions[0, :9, 0], contributions[0, 9], contributions[0, 10:, 1] = 1.0, torch.tensor([-1.0, 0.0]), 8.0
    assert_allclose(told(contributions, torch.arange(12.0, 0.0, -1.0)[None]), [[1.0, 0.0]])
    assert_allclose(told(torch.zeros(1, 12, 2), torch.ones(1, 12)), [[0.0, 0.0]])


@pytest.mark.parametrize(("mask_seen", "expected"), [(True, [0, 1, 0, 1]), (False, [0, 1, 1, 1])])
def test_padding_is_never_allowed_and_what_was_seen_only_unmasked(mask_seen: bool, expected: list[int]) -> None:
    assert allowed_items(torch.tensor([[0, 2]]), 3, mask_seen=mask_seen).tolist() == [[bool(n) for n in expected]]


def test_an_evaluation_tells_it_for_each_length_of_history() -> None:
    shop = two_taste_shop()
    ranker, cut = toy_ranker(shop), leave_one_out(shop.interactions)
    found = evaluate(ranker, shop.interactions, cut.test, seen="mask")
    by_history = [each for each in found.segments if each.kind == "history"]
    assert by_history
    for each in by_history:
        assert list(each.leaning) == list(ranker.part_names)
        assert 0.99 < sum(each.leaning.values()) <= 1.0 + 1e-6
    assert not any(each.leaning for each in found.segments if each.kind == "target")
    assert found.as_json()["segments"][0]["leaning"] == by_history[0].leaning
