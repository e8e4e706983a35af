from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose

from tests.suites.models import TasteSuite
from training.interactions import Interactions
from training.models.protocol import Part
from training.models.slist import Slist, SlistConfig, followers, histories, without_self
from training.models.sparse_rows import Fading
from training.shop import NOW_MS

DAY_MS = 86_400_000


def sequences(baskets: list[list[int]], days: list[list[float]] | None = None) -> Interactions:
    """Everything is bought; a day apart unless said otherwise."""
    days = days or [[float(place) for place in range(len(basket))] for basket in baskets]
    items = np.concatenate([np.array(basket, np.int64) for basket in baskets])
    return Interactions(
        n_items=int(items.max()),
        offsets=np.concatenate([[0], np.cumsum([len(basket) for basket in baskets])]),
        items=items,
        events=np.full(len(items), 4),
        sent_at=np.concatenate([NOW_MS - DAY_MS * (100 - np.array(each)) for each in days]).astype(np.int64),
        sessions=np.arange(len(items)),
    )


class TestSlist(TasteSuite):
    @classmethod
    def make(cls, n_items: int) -> Part:
        return Slist(n_items, SlistConfig(l2=5.0))


def test_what_followed_counts_less_the_further_off() -> None:
    found = followers(sequences([[1, 2, 3]]), SlistConfig(decay=0.5)).toarray()
    assert_allclose(found, [[0, 0, 1, 0.5], [0, 0, 0, 1], [0, 0, 0, 0]])


def test_a_history_fades_by_steps_and_by_days_and_ends_before_the_last_event() -> None:
    fading = Fading(half_life_days=10.0, half_life_steps=1.0)
    found = histories(sequences([[1, 2, 3], [3, 1]], [[0, 10, 20], [0, 1]]), SlistConfig(fading=fading)).toarray()
    assert_allclose(found, [[0, 1, 0, 0], [0, 0.25, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], rtol=1e-6)


def test_a_repeated_item_counts_at_its_newest_occurrence_as_at_a_request() -> None:
    data = sequences([[1, 2, 1, 3]], [[0, 0, 0, 0]])
    found = histories(data, SlistConfig(fading=Fading(half_life_steps=1.0))).toarray()
    assert_allclose(found[2], [0, 1, 0.5, 0])


def test_the_window_bounds_what_is_seen() -> None:
    found = histories(sequences([[1, 2, 3, 4]]), SlistConfig(window=2)).toarray()
    assert (found[2] > 0).tolist() == [False, False, True, True, False]


def test_weights_are_the_least_squares_with_a_zero_diagonal() -> None:
    """Column by column, against a solver that knows nothing of the closed form."""
    rng = np.random.default_rng(0)
    before, after = rng.random((40, 6)), rng.random((40, 6))
    found = without_self(torch.tensor(before.T @ before), torch.tensor(before.T @ after), 3.0).numpy()
    for column in range(6):
        others = [each for each in range(6) if each != column]
        ridge = np.vstack([before[:, others], np.sqrt(3.0) * np.eye(5)])
        wanted = np.concatenate([after[:, column], np.zeros(5)])
        assert_allclose(found[others, column], np.linalg.lstsq(ridge, wanted, rcond=None)[0], rtol=1e-6)
    assert not found.diagonal().any()


def test_order_is_learnt() -> None:
    """2 follows 1, never the other way round."""
    model = Slist(4, SlistConfig(l2=1.0, sets=0.0)).fit(sequences([[1, 2, 3], [1, 2, 4], [3, 1, 2]]), NOW_MS)
    weights = model.strengths(torch.tensor([[1, 2]]), torch.tensor([[1, 2]]))[0]
    assert weights[0, 1] > 0.3
    assert weights[1, 0] <= 0.0


def test_words_speak_for_a_rare_item() -> None:
    """5 was had after 4 alone; it has the words of 2."""
    content = sp.csr_matrix(np.array([[0, 0], [1, 0], [0, 1], [1, 0], [1, 0], [0, 1]], np.float32))
    plain = sequences([[1, 2, 3], [1, 2, 4], [3, 1, 2], [4, 5]])
    known = replace(plain, content=content)
    two, five = torch.tensor([[2]]), torch.tensor([[5]])
    with_words, without = (
        Slist(5, SlistConfig(l2=1.0, content=4.0)).fit(data, NOW_MS).strengths(two, five).item()
        for data in (known, plain)
    )
    assert with_words > without + 0.1


@pytest.mark.parametrize("baskets", [[[1], [2]], [[1, 1]]])
def test_without_anything_that_follows_nothing_is_said(baskets: list[list[int]]) -> None:
    model: Part = Slist(2, SlistConfig(sets=0.0)).fit(sequences(baskets), NOW_MS)
    assert not model.between(torch.tensor([[1]]), torch.tensor([[1, 2]])).any()
