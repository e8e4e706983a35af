"""Items and users have numbers that tell nothing: with others, both stages of a fusion are told the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fusionrec.feature_spec import DAY_MS, EVENT_CODES
from training.fusion.additive import AdditiveFusion
from training.fusion.candidates import EvidenceTable, PartScores, collect, tabulate
from training.fusion.facts import ItemFacts
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests
from training.models.ease import Ease, EaseConfig
from training.models.item_knn import ItemKnn
from training.models.popularity import Popularity
from training.models.slist import Slist
from training.models.transitions import Transitions
from training.shop import NOW_MS

N_USERS, N_ITEMS, LENGTH = 9, 12, 8


@pytest.fixture(scope="module")
def data() -> Interactions:
    """Users with eight purchases at random times and prices: no two items are alike."""
    draw = np.random.default_rng(0)
    n = N_USERS * LENGTH
    liked = np.sqrt(np.arange(N_ITEMS, 0, -1))
    return Interactions(
        n_items=N_ITEMS,
        offsets=np.arange(N_USERS + 1) * LENGTH,
        items=1 + draw.choice(N_ITEMS, n, p=liked / liked.sum()),
        events=np.full(n, EVENT_CODES["purchase"]),
        sent_at=NOW_MS - (np.sort(draw.uniform(0, 90, (N_USERS, LENGTH)))[:, ::-1].ravel() * DAY_MS).astype(np.int64),
        sessions=np.tile(np.arange(LENGTH), N_USERS),
        prices=draw.uniform(100, 900, n).astype(np.float32),
    )


def told(data: Interactions) -> tuple[PartScores, EvidenceTable]:
    """What both stages learn from when each user's last item is asked for."""
    ends = data.offsets[1:] - 1
    fit = data.prefix(ends)
    parts = [
        Popularity(N_ITEMS),
        Ease(N_ITEMS, EaseConfig(l2=1.0)),
        Transitions(N_ITEMS),
        Slist(N_ITEMS),
        ItemKnn(N_ITEMS),
    ]
    ranker = FusedRanker([part.fit(fit, NOW_MS) for part in parts], AdditiveFusion(len(parts)), top_k=N_ITEMS).eval()
    requests = Requests(np.arange(N_USERS), ends, ends + 1, np.full(N_USERS, NOW_MS))
    facts = ItemFacts(N_ITEMS).fit(fit, NOW_MS)
    return collect(ranker, data, requests, N_ITEMS), tabulate(ranker, facts, data, requests)


def by_scores(found: PartScores) -> PartScores:
    """The candidates of each request in the order of the sum of their scores, not in that of their numbers."""
    order = found.scores.sum(dim=1).argsort(dim=1)
    scores = torch.gather(found.scores, 2, order[:, None, :].expand(-1, found.scores.shape[1], -1))
    relevant, had = (torch.gather(column, 1, order) for column in (found.relevant, found.had))
    return PartScores(scores, relevant, found.situation, had)


def test_items_with_other_numbers_tell_the_same(data: Interactions) -> None:
    number = np.concatenate([[0], 1 + np.random.default_rng(1).permutation(N_ITEMS)])
    assert (number[1:] != np.arange(1, N_ITEMS + 1)).mean() > 0.5
    (scores, table), (others, other) = told(data), told(replace(data, items=number[data.items]))
    for mine, its in zip(by_scores(scores), by_scores(others), strict=True):
        assert_allclose(mine.float(), its.float(), atol=1e-3)
    for name in ("told", "shared", "user", "relevant"):  # in the order of the first stage's scores
        assert_allclose(getattr(table, name).float(), getattr(other, name).float(), atol=4e-3, err_msg=name)


def test_users_in_another_order_tell_the_same(data: Interactions) -> None:
    order = np.random.default_rng(2).permutation(N_USERS)
    places = (order[:, None] * LENGTH + np.arange(LENGTH)).ravel()
    columns = {name: getattr(data, name)[places] for name in ("items", "events", "sent_at", "sessions", "prices")}
    (scores, table), (others, other) = told(data), told(replace(data, **columns))
    for mine, its in zip(by_scores(scores), by_scores(others), strict=True):
        assert_allclose(mine[order].float(), its.float(), atol=1e-3)
    for name in ("told", "shared", "user", "relevant"):
        assert_allclose(getattr(table, name)[order].float(), getattr(other, name).float(), atol=4e-3, err_msg=name)
