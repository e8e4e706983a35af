"""Item-kNN and implicit ALS against the shared suite, and against plain computations of the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose

from fusionrec.feature_spec import EVENT_CODES
from fusionrec.transforms import ModelInput
from tests.suites.models import TasteSuite, shop_inputs
from training.interactions import Interactions
from training.models import sparse_rows
from training.models.als import Als, AlsConfig, blocks_of, conjugate_gradients, strongest_event
from training.models.ease import seen_matrix
from training.models.item_knn import ItemKnn, ItemKnnConfig, item_similarities
from training.models.protocol import Part
from training.models.sparse_rows import Fading, Rows
from training.shop import NOW_MS, Shop

SMALL = AlsConfig(n_factors=4, l2=0.5, alpha=10.0)


def bought(items: list[int], ages: list[float]) -> ModelInput:
    events = np.full((1, len(items)), EVENT_CODES["purchase"])
    return ModelInput(np.array([items]), events, np.array([ages], np.float32))


class TestAls(TasteSuite):
    @classmethod
    def make(cls, n_items: int) -> Part:
        return Als(n_items, SMALL)

    def test_a_request_is_the_direct_solution(self, model: Als) -> None:
        """(YᵀY + Yᵀ(C - I)Y + λI) x = YᵀC p, solved by numpy from vectors in the turned coordinates: YᵀY + λI = I."""
        items, ages = [2, 7, 5], [40.0, 6.0, 0.0]
        vectors = model.item_vectors().astype(float)
        fade = [2 ** -(age / 60.0 + back / 100.0) for age, back in zip(ages, (2, 1, 0), strict=True)]
        extra = np.diag(SMALL.alpha * np.array(fade))
        y = vectors[items]
        user = np.linalg.solve(np.eye(4) + y.T @ extra @ y, y.T @ (np.eye(3) + extra).sum(axis=1))
        assert_allclose(model.score(bought(items, ages))[0], vectors @ user, rtol=1e-4, atol=1e-5)

    def test_a_fit_takes_turns_in_solving_the_normal_equations(self, shop: Shop) -> None:
        """Five turns with plain solvers from the same start end in the same vectors."""
        config = replace(SMALL, n_iterations=5, fit_steps=12)
        had = seen_matrix(shop.interactions).toarray().astype(float)
        make = torch.Generator().manual_seed(config.seed)
        users, items = (torch.randn(n, 4, generator=make).mul_(0.01).numpy().astype(float) for n in had.shape)

        def solve(given: np.ndarray, matrix: np.ndarray) -> np.ndarray:
            gram = given.T @ given + config.l2 * np.eye(4)
            return np.stack(
                [
                    np.linalg.solve(gram + config.alpha * (given.T * p) @ given, given.T @ (p * (1.0 + config.alpha)))
                    for p in matrix
                ]
            )

        for _ in range(config.n_iterations):
            users = solve(items, had)
            items = solve(users, had.T)
        items[0] = 0.0
        root = np.linalg.cholesky(items.T @ items + config.l2 * np.eye(4))
        expected = items @ np.linalg.inv(root).T
        found = Als(10, config).fit(shop.interactions, NOW_MS).item_vectors()
        assert_allclose(found, expected, rtol=1e-2, atol=1e-3)

    def test_steps_as_many_as_items_solve_exactly(self) -> None:
        make = torch.Generator().manual_seed(0)
        rows = torch.randn(3, 8, generator=make)
        wanted = torch.randn(1, 8, generator=make)

        def beside(x: torch.Tensor) -> torch.Tensor:
            return x @ rows.T @ rows

        found = conjugate_gradients(beside, wanted, torch.zeros(1, 8), 4)
        expected = np.linalg.solve((torch.eye(8) + rows.T @ rows).numpy(), wanted[0].numpy())
        assert_allclose(found[0], expected, rtol=1e-3, atol=1e-4)

    def test_sparse_products_are_the_dense_ones(self, shop: Shop) -> None:
        extra = seen_matrix(shop.interactions) * np.float32(3.0)
        dense, (block,) = torch.from_numpy(extra.toarray()), blocks_of(extra)
        make = torch.Generator().manual_seed(1)
        users, items = torch.randn(14, 4, generator=make), torch.randn(11, 4, generator=make)
        expected = (users @ items.T * dense) @ items
        assert_allclose(block.times(block.along(users, items), items), expected, rtol=1e-4, atol=1e-4)

    def test_of_several_events_with_an_item_the_strongest_counts(self) -> None:
        data = one_user([1, 1, 2, 3], ["view", "purchase", "view", "removal"])
        weights = strongest_event(data, np.array(Fading().event_weights, np.float32))
        assert_allclose(weights.toarray(), [[0.0, 1.0, 0.3, 0.0]])

    def test_items_are_alike_by_the_cosine_of_their_vectors(self, model: Als) -> None:
        found = model.between(torch.tensor([[0, 2]]), torch.tensor([[2, 3, 9]]))
        assert found.shape == (1, 1, 2, 3)
        a, b = model.item_vectors()[[2, 3]]
        assert_allclose(found[0, 0, 1, :2], [1.0, a @ b / np.linalg.norm(a) / np.linalg.norm(b)], rtol=1e-4)
        assert found[0, 0, 1, 1] > found[0, 0, 1, 2]
        assert not found[0, 0, 0].any()


class TestItemKnn(TasteSuite):
    @classmethod
    def make(cls, n_items: int) -> Part:
        return ItemKnn(n_items)

    def test_plain_settings_are_the_cosine(self, shop: Shop) -> None:
        seen = seen_matrix(shop.interactions)
        dense = seen.toarray()[:, 1:].astype(float)
        lengths = np.linalg.norm(dense, axis=0)
        cosine = dense.T @ dense / lengths[:, None] / lengths
        np.fill_diagonal(cosine, 0.0)
        found = item_similarities(seen, ItemKnnConfig(user_power=0.0, shrink=0.0)).toarray()
        assert_allclose(found[1:, 1:], cosine, rtol=1e-5)

    def test_what_few_users_say_is_shrunk_and_the_rare_of_two_comes_later_with_a_low_power(self) -> None:
        """Items 1 and 2 share two users; item 1 has four, item 2 has two."""
        seen = seen_matrix(many_users([[1, 2], [1, 2], [1], [1]]))
        found = item_similarities(seen, ItemKnnConfig(power=0.25, user_power=0.0, shrink=2.0))
        assert_allclose(found[1, 2], 2 / (4**0.25 * 2**0.75) * 2 / (2 + 2), rtol=1e-5)
        assert_allclose(found[2, 1], 2 / (2**0.25 * 4**0.75) * 2 / (2 + 2), rtol=1e-5)

    def test_long_histories_count_with_their_newest_items(self) -> None:
        data = many_users([[1, 2, 3], [4, 3]])
        scores = ItemKnn(4, ItemKnnConfig(max_history=2)).fit(data, NOW_MS).score(bought([3], [0.0]))[0]
        assert scores[2] > 0.0
        assert scores[4] > 0.0
        assert scores[1] == 0.0

    def test_the_older_of_two_histories_counts_less(self, model: ItemKnn, shop: Shop) -> None:
        inputs = shop_inputs(shop)
        older = inputs._replace(history_age_days=inputs.history_age_days + 60.0)
        assert_allclose(model.score(older), model.score(inputs) / 2, rtol=1e-5)


def one_user(items: list[int], events: list[str]) -> Interactions:
    return Interactions(
        n_items=max(items),
        offsets=np.array([0, len(items)]),
        items=np.array(items),
        events=np.array([EVENT_CODES[event] for event in events]),
        sent_at=np.arange(len(items)),
        sessions=np.zeros(len(items), np.int64),
    )


def many_users(histories: list[list[int]]) -> Interactions:
    items = np.concatenate([np.array(history) for history in histories])
    return Interactions(
        n_items=int(items.max()),
        offsets=np.concatenate([[0], np.cumsum([len(history) for history in histories])]),
        items=items,
        events=np.full(len(items), EVENT_CODES["purchase"]),
        sent_at=np.full(len(items), NOW_MS),
        sessions=np.zeros(len(items), np.int64),
    )


@pytest.mark.parametrize(("block", "n_kept"), [(3, 2), (3, 9), (1024, 4)])
def test_rows_keep_their_largest_positive_weights_in_blocks_of_any_size(
    block: int, n_kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of very unlike lengths, some negative, one empty, and one of more than are kept; row 0 is padding."""
    monkeypatch.setattr(sparse_rows, "_BLOCK", block)
    rng = np.random.default_rng(5)
    dense = rng.normal(size=(12, 12)) * (rng.random((12, 12)) < np.linspace(0.05, 1.0, 12)[:, None])
    dense[4] = 0.0
    rows = Rows(11)
    rows.keep_matrix(sp.csr_matrix(dense), n_kept)
    for item in range(1, 12):
        best = sorted(((weight, place) for place, weight in enumerate(dense[item]) if weight > 0), reverse=True)[
            :n_kept
        ]
        row = int(rows.row_of[item])
        pairs = zip(rows.weights[row].tolist(), rows.neighbours[row].tolist(), strict=True)
        found = sorted((pair for pair in pairs if pair[0] > 0), reverse=True)
        assert [place for _, place in found] == [place for _, place in best]
        assert_allclose([weight for weight, _ in found], [weight for weight, _ in best], rtol=1e-6)
    assert rows.weights.shape[1] == n_kept
    assert int(rows.row_of[4]) == 0
