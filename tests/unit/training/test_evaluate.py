"""Full ranking: ties at random, masks, and a shop whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.evaluate import BASELINE, FUSION, evaluate, first_items
from training.fusion.candidates import barred
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests
from training.shop import NOW_MS, Shop, toy_ranker, two_taste_shop, with_answers


@pytest.fixture(scope="module")
def shop() -> Shop:
    return two_taste_shop()


@pytest.fixture(scope="module")
def ranker(shop: Shop) -> FusedRanker:
    return toy_ranker(shop)


@pytest.fixture(scope="module")
def answers(shop: Shop) -> tuple[Interactions, Requests]:
    data = with_answers(shop)
    ends = data.offsets[1:]
    return data, Requests(np.arange(data.n_users), ends - 1, ends, np.full(data.n_users, NOW_MS))


def test_equal_scores_are_ordered_at_random_not_by_index() -> None:
    """A constant model over 1000 items must hit about as often as chance, wherever the target stands."""
    scores = barred(torch.zeros(400, 1, 1001), None)[:, 0]
    generator = torch.Generator().manual_seed(0)
    chosen = torch.cat([first_items(row[None], 20, generator) for row in scores])
    assert (chosen > 0).all()
    for part in (chosen <= 500, chosen % 2 == 0):
        assert 0.47 < part.float().mean() < 0.53
    assert all(len(set(row)) == 20 for row in chosen.tolist())


def test_the_right_model_is_perfect_and_popularity_is_not(
    ranker: FusedRanker, answers: tuple[Interactions, Requests]
) -> None:
    judged = evaluate(ranker, *answers, seen="mask")
    assert judged.n_users == 14
    assert judged.rows["ease"]["ndcg@10"][0] == 1.0
    assert judged.rows[FUSION]["ndcg@10"][0] == 1.0
    assert judged.rows[BASELINE]["ndcg@5"][0] < 0.9
    assert judged.catalogue[FUSION]["coverage@5"] > 0.9


def test_kept_seen_items_take_places(ranker: FusedRanker, answers: tuple[Interactions, Requests]) -> None:
    kept = evaluate(ranker, *answers, seen="keep")
    assert kept.rows["popularity"]["mrr@5"][0] < 0.5  # what was bought comes first


def test_two_evaluations_agree(ranker: FusedRanker, answers: tuple[Interactions, Requests]) -> None:
    assert evaluate(ranker, *answers, seed=3).as_json() == evaluate(ranker, *answers, seed=3).as_json()
