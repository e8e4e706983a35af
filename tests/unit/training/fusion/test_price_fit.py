"""How a candidate's price fits what the user paid of late: from the events to the second stage's graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from training.export import check_parity, export_ranker
from training.fusion.additive import AdditiveFusion
from training.fusion.candidates import tabulate
from training.fusion.evidence import N_SHARED, RECENT, price_fit, width_of, width_of_user
from training.fusion.facts import N_FACTS, ItemFacts
from training.fusion.ranker import FusedRanker, SecondStage
from training.fusion.stacker import Ensemble, Stacker, StackerConfig
from training.fusion.stacker_fit import StackerFitConfig, fit_stacker
from training.interactions import Interactions, Requests
from training.models.ease import Ease, EaseConfig
from training.models.popularity import Popularity
from training.shop import NOW_MS, two_taste_shop, with_answers


@pytest.fixture(scope="module")
def data() -> Interactions:
    """Item i costs i euros; item 10 has no known price."""
    shop = two_taste_shop()
    priced = with_answers(shop)
    return replace(priced, prices=np.where(priced.items == 10, 0, 100 * priced.items).astype(np.float32))


@pytest.fixture(scope="module")
def requests(data: Interactions) -> Requests:
    users, ends = np.arange(data.n_users), data.offsets[1:]
    return Requests(users, ends - 1, ends, np.full(len(users), NOW_MS))


def ranker_of(data: Interactions, second: SecondStage | None = None) -> FusedRanker:
    parts = [part.fit(data, NOW_MS) for part in (Popularity(10), Ease(10, EaseConfig(l2=1.0)))]
    return FusedRanker(parts, AdditiveFusion(2), top_k=6, second=second).eval()


def test_an_items_price_is_the_mean_in_log_units_of_what_was_paid(data: Interactions) -> None:
    varied = replace(data, prices=np.where(np.arange(len(data)) % 2, 50, 200).astype(np.float32) * (data.items != 4))
    table = ItemFacts(10).fit(varied, NOW_MS).table
    paid = varied.prices[data.items == 3]
    assert table.shape == (11, N_FACTS + 1)
    assert_allclose(table[3, N_FACTS], np.log1p(paid).mean(), rtol=1e-6)
    assert len(set(paid)) == 2
    assert table[4, N_FACTS] == table[0, N_FACTS] == 0.0


def test_the_fit_is_the_distance_from_what_the_recent_items_cost() -> None:
    prices = torch.tensor([0.0, 1.0, 3.0, 5.0, 0.0])  # item 4: unknown
    recent = torch.tensor([[0, 1, 2], [4, 4, 3], [0, 0, 4]])
    candidates = torch.tensor([[3, 1, 4], [3, 2, 4], [1, 2, 3]])
    assert price_fit(prices, recent, candidates).tolist() == [[3.0, -1.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 0.0]]


def test_only_what_was_known_counts(data: Interactions) -> None:
    past = data.prefix(data.offsets[1:] - 1)
    assert past.prices is not None
    assert data.prices is not None
    assert past.prices.tolist() == np.delete(data.prices, data.offsets[1:] - 1).tolist()


def test_without_prices_the_evidence_has_the_columns_that_it_had(data: Interactions, requests: Requests) -> None:
    bare = replace(data, prices=None)
    tables = [
        tabulate(ranker_of(each), ItemFacts(10).fit(each, NOW_MS), each, requests, mask_seen=True)
        for each in (bare, data)
    ]
    assert [table.shared.shape[2] for table in tables] == [N_SHARED, N_SHARED + 1]
    assert torch.equal(tables[0].shared, tables[1].shared[:, :, :N_SHARED])
    assert torch.equal(tables[0].user, tables[1].user)
    stacker, _ = fit_stacker(tables[1], StackerFitConfig(n_steps=2, n_rounds=1))
    assert stacker is None or stacker.members[0].shared_mean.shape == (N_SHARED + 1,)


def test_the_graph_weighs_prices_and_its_contributions_still_make_the_score(data: Interactions, tmp_path: Path) -> None:
    torch.manual_seed(3)
    plain = ranker_of(data)
    parts = list(plain.parts)
    stacker = Stacker(2, width_of(parts), width_of_user(2), StackerConfig(hidden=6, dim=4), N_SHARED + 1)
    for parameter in stacker.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    facts = ItemFacts(10).fit(data, NOW_MS)
    ranker = FusedRanker(parts, plain.fusion, 6, SecondStage(Ensemble([stacker.eval()]), facts)).eval()
    export_ranker(ranker, tmp_path / "ranker.onnx")
    assert check_parity(ranker, tmp_path / "ranker.onnx") <= 1e-4
    items = torch.tensor([[3, 8, 1]])
    asked = (items, torch.ones_like(items), torch.ones(1, 3), torch.ones(1, 11, dtype=torch.bool))
    with torch.inference_mode():
        found, scores, contributions, base = ranker(*asked)
    assert_allclose(base[:, None] + contributions.sum(dim=2), scores, atol=1e-5)
    facts.table[:, N_FACTS] = torch.where(facts.table[:, N_FACTS] > 0, 5.0, 0.0)
    again = dict(zip(*(row[0].tolist() for row in ranker(*asked)[:2]), strict=True))
    changed = [abs(again[item] - score) for item, score in zip(found[0].tolist(), scores[0].tolist(), strict=True)]
    assert max(changed) > 1e-3
    assert len(items[0]) <= RECENT
