"""What the fusion learns from: no label was in the data that its parts were fitted on, and masks hold in its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from training import fusing
from training.fusing import drawn, fit_fused
from training.fusion.additive import AdditiveFusion
from training.fusion.candidates import collect, tabulate
from training.fusion.facts import ItemFacts
from training.interactions import Interactions, Requests
from training.models.ease import Ease, EaseConfig
from training.models.protocol import Part, Run
from training.protocols import Past, Split, leave_one_out
from training.recipe import Labels, Recipe
from training.shop import NOW_MS, toy_ranker, two_taste_shop, with_answers
from training.stages import Stages

RECIPE = replace(Recipe(ease=EaseConfig(l2=1.0), attention=None), stacker=None, top_k=4)


@pytest.fixture(scope="module")
def data() -> Interactions:
    """14 users with five interactions each."""
    return with_answers(two_taste_shop())


@pytest.fixture(scope="module")
def cut(data: Interactions) -> Split:
    return leave_one_out(data)


def learnt(
    labels: Labels, data: Interactions, cut: Split, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Part], Sequence[Part], Past]:
    """The parts that are judged, and with which parts and past the fusion was learnt."""
    heard: list[tuple[Sequence[Part], Past]] = []

    def remember(
        recipe: Recipe, data: Interactions, parts: Sequence[Part], past: Past, mask_seen: bool, run: Run
    ) -> AdditiveFusion:
        heard.append((parts, past))
        return AdditiveFusion(len(parts))

    monkeypatch.setattr(fusing, "fit_first", remember)
    stages = Stages(folder, lambda what, share: None)
    judged, _ = fit_fused(stages, replace(RECIPE, labels=labels), data, cut, mask_seen=True, data_key="toy")
    return judged, *heard[0]


def as_fitted_on(parts: Sequence[Part], fit: Interactions) -> bool:
    ease = next(part for part in parts if isinstance(part, Ease))
    alone = Ease(fit.n_items, ease.config).fit(fit, NOW_MS)
    return ease.weights.shape == alone.weights.shape and torch.equal(ease.weights, alone.weights)


@pytest.mark.parametrize(("labels", "unseen", "after"), [("validation", 1, 1), ("earlier", 1, 2), ("step-back", 2, 1)])
def test_no_part_was_fitted_on_what_the_fusion_learns_to_find(
    labels: Labels,
    unseen: int,
    after: int,
    data: Interactions,
    cut: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """unseen: how many of the newest items up to the label the parts have not seen; at the test these are two.

    after: how many items follow the label; the very last is the test's
    """
    _, parts, past = learnt(labels, data, cut, tmp_path, monkeypatch)
    n_fitted = np.diff(past.fit.offsets)[past.requests.users]
    n_with_label = past.requests.until - data.offsets[past.requests.users]
    assert_array_equal(n_with_label - n_fitted, unseen)
    assert as_fitted_on(parts, past.fit)
    assert_array_equal(data.offsets[past.requests.users + 1] - past.requests.until, after)


@pytest.mark.parametrize(("labels", "differs"), [("earlier", False), ("step-back", True)])
def test_one_step_earlier_nothing_of_the_validation_window_is_learnt(
    labels: Labels, differs: bool, data: Interactions, tmp_path: Path
) -> None:
    """Its items are others; with the labels of that window the fusion is another, too, so that it would show."""
    items = data.items.copy()
    items[data.offsets[1:] - 2] = items[data.offsets[1:] - 2] % 10 + 1
    found = []
    for number, each in enumerate((data, replace(data, items=items))):
        stages = Stages(tmp_path / str(number), lambda what, share: None)
        recipe = replace(RECIPE, labels=labels)
        _, fused = fit_fused(stages, recipe, each, leave_one_out(each), mask_seen=True, data_key="toy")
        found.append(fused.first.state_dict())
    one, other = found
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items()) == differs


def test_the_drawn_requests_are_of_the_whole_file_and_the_same_every_time() -> None:
    """In a file that is sorted by something, the first or the last tell of few."""
    numbers = np.arange(20_000)
    requests = Requests(numbers, numbers + 1, numbers + 2, numbers + 3)
    once, again = (drawn(requests, 2_000) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(once, again, strict=True))
    assert all(np.array_equal(own, once.users + n) for n, own in enumerate(once))
    assert len(set(once.users.tolist())) == 2_000
    of_each_tenth = np.bincount(once.users // 2_000)
    assert of_each_tenth.min() > 150, of_each_tenth
    assert of_each_tenth.max() < 250, of_each_tenth
    assert len(drawn(requests, 20_000).users) == 20_000


@pytest.mark.parametrize("labels", ["validation", "earlier", "step-back"])
def test_of_many_requests_a_fusion_learns_from_some(
    labels: Labels, data: Interactions, cut: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, every = learnt(labels, data, cut, tmp_path / "all", monkeypatch)
    monkeypatch.setattr(fusing, "MOST_REQUESTS", 5)
    *_, some = learnt(labels, data, cut, tmp_path / "some", monkeypatch)
    assert len(every.requests.users) == 14
    assert len(some.requests.users) == 5
    rows = np.searchsorted(every.requests.users, some.requests.users)
    assert (np.diff(rows) > 0).all()
    assert rows.max() >= 5, "drawn at random, not the first ones"
    for whole, part in zip(every.requests, some.requests, strict=True):
        assert_array_equal(whole[rows], part)


@pytest.mark.parametrize("labels", ["validation", "earlier", "step-back"])
def test_the_parts_that_are_judged_know_all_before_the_validation_window(
    labels: Labels, data: Interactions, cut: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, _, _ = learnt(labels, data, cut, tmp_path, monkeypatch)
    assert as_fitted_on(judged, cut.fit)
    assert not as_fitted_on(judged, cut.earlier.fit)


@pytest.mark.parametrize("mask", [True, False])
def test_masked_items_are_no_candidates(data: Interactions, mask: bool) -> None:
    """Four of ten items are in each history, and six are asked for."""
    shop = two_taste_shop()
    ends = data.offsets[1:]
    requests = Requests(np.arange(data.n_users), ends - 1, ends, np.full(data.n_users, NOW_MS))
    ranker = toy_ranker(shop)
    facts = ItemFacts(data.n_items).fit(shop.interactions, NOW_MS)
    table = tabulate(ranker, facts, data, requests, mask_seen=mask)
    in_history = table.shared[:, :, -1] > 0
    assert bool((in_history & table.real).any()) is not mask
    assert not (table.relevant & ~table.real).any()
    assert_array_equal(table.n_relevant, np.ones(data.n_users))
    scores = collect(ranker, data, requests, 4, mask_seen=mask)
    assert bool(scores.had.any()) is not mask


def test_the_relevant_candidate_is_where_the_answer_stands(data: Interactions) -> None:
    """Of all items as candidates, each request marks the place of its own answer."""
    shop = two_taste_shop()
    ends = data.offsets[1:]
    requests = Requests(np.arange(data.n_users), ends - 1, ends, np.full(data.n_users, NOW_MS))
    ranker = toy_ranker(shop)
    table = tabulate(ranker, ItemFacts(10).fit(shop.interactions, NOW_MS), data, requests, mask_seen=True)
    arrays = [torch.from_numpy(array) for array in requests.inputs(data, range(data.n_users))]
    allowed = torch.ones(data.n_users, 11, dtype=torch.bool).scatter(1, arrays[0], False)
    with torch.inference_mode():
        found = ranker.candidates(ranker.standardised(*arrays), arrays[0], arrays[2], allowed)
    expected = found.items == torch.tensor(shop.withheld)[:, None]
    assert_array_equal(table.relevant, expected & found.real)
    assert table.relevant.any(dim=1).all()
