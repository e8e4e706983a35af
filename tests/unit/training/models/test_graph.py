"""The graph filter against the shared suite, and against a dense computation of the same formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fusionrec.feature_spec import EVENT_CODES
from fusionrec.transforms import ModelInput
from tests.suites.models import TasteSuite
from training.content import rare_terms
from training.interactions import Interactions
from training.models.ease import seen_matrix
from training.models.graph import Graph, GraphConfig, normalised, smooth_waves, word_nodes
from training.models.item_knn import newest
from training.models.protocol import Part
from training.shop import NOW_MS, Shop, two_taste_shop

SMALL = GraphConfig(n_factors=3, smooth=0.4, content=0.5)


def bought(items: list[int]) -> ModelInput:
    events = np.full((1, len(items)), EVENT_CODES["purchase"])
    return ModelInput(np.array([items]), events, np.zeros((1, len(items)), np.float32))


def by_numpy(data: Interactions, config: GraphConfig) -> np.ndarray:
    """W of the module's docstring, (11, 11), from dense matrices and numpy's decomposition."""
    had = seen_matrix(data).toarray().astype(float)
    degree = np.maximum(had.sum(axis=0), 1.0)
    stacked = had / np.sqrt(np.maximum(had.sum(axis=1), 1.0))[:, None] / np.sqrt(degree)
    if data.content is not None and config.content:
        words = data.content.toarray().astype(float)
        words = words / np.sqrt(np.maximum(words.sum(axis=0), 1e-12))
        stacked = np.vstack([stacked, np.sqrt(config.content) * words.T])
    one_step = stacked.T @ stacked
    np.fill_diagonal(one_step, 0.0)
    waves = np.linalg.svd(stacked)[2][: config.n_factors]
    return one_step + config.smooth * (waves.T @ waves) * np.sqrt(degree)[None, :] / np.sqrt(degree)[:, None]


def described(data: Interactions) -> Interactions:
    """Items of one taste share a word; pairs of neighbours share another."""
    documents = [set(), *({"sweet" if item <= 5 else "salty", f"pair {item // 2}"} for item in range(1, 11))]
    return replace(data, content=rare_terms(documents, max_share=0.6))


class TestGraph(TasteSuite):
    @classmethod
    def make(cls, n_items: int) -> Part:
        return Graph(n_items, SMALL)

    def test_it_is_the_dense_filter(self, shop: Shop) -> None:
        self.compare(shop.interactions, SMALL)

    def test_long_histories_count_with_their_newest_items(self, shop: Shop) -> None:
        short = Graph(10, replace(SMALL, max_history=2)).fit(shop.interactions, NOW_MS)
        cut = Graph(10, SMALL).fit(newest(shop.interactions, 2), NOW_MS)
        assert torch.equal(short.weights, cut.weights)
        assert_allclose(short.heard.abs(), cut.heard.abs(), atol=1e-5)
        assert not torch.equal(short.weights, Graph(10, SMALL).fit(shop.interactions, NOW_MS).weights)

    def test_it_is_the_dense_filter_with_words_as_nodes(self, shop: Shop) -> None:
        self.compare(described(shop.interactions), SMALL)

    def compare(self, data: Interactions, config: GraphConfig) -> None:
        """Items 2 and 3 differ from the others in their users, so that no two singular values are equal."""
        uneven = without(without(data, user=0, item=3), user=2, item=2)
        expected = by_numpy(uneven, config)
        model = Graph(10, config).fit(uneven, NOW_MS)
        for item in range(1, 11):
            assert_allclose(model.score(bought([item]))[0, 1:], expected[item, 1:], rtol=1e-3, atol=1e-4)

    def test_words_reach_an_item_that_nobody_had(self) -> None:
        data = described(two_taste_shop().interactions)
        alone = data
        for user in range(data.n_users):
            alone = without(alone, user=user, item=10)
        with_words, without_words = (
            Graph(10, replace(SMALL, content=weight)).fit(alone, NOW_MS).score(bought([7]))[0, 10]
            for weight in (0.5, 0.0)
        )
        assert with_words > 0.05
        assert abs(without_words) < 1e-6

    def test_a_catalogue_without_words_is_the_users_graph(self, shop: Shop) -> None:
        plain, asked = Graph(10, replace(SMALL, content=0.0)), Graph(10, SMALL)
        found, expected = (model.fit(shop.interactions, NOW_MS).score(bought([4])) for model in (asked, plain))
        assert_allclose(found, expected)

    def test_the_first_wave_is_the_square_root_of_the_degrees(self) -> None:
        """On a connected graph of users and items nothing is smoother."""
        data = two_taste_shop().interactions
        data = replace(data, items=np.where(np.arange(len(data)) == 0, 10, data.items))  # one user of both tastes
        seen = seen_matrix(data)
        wave = smooth_waves(normalised(seen), 1).abs().numpy()[:, 0]
        degree = np.asarray(seen.sum(axis=0)).ravel()
        assert_allclose(wave, np.sqrt(degree / degree.sum()), rtol=1e-4, atol=1e-5)

    def test_a_word_of_many_items_says_little(self) -> None:
        content = described(two_taste_shop().interactions).content
        assert content is not None
        nodes = word_nodes(content, 1.0)
        counts = content.getnnz(axis=0)
        common, rare = counts.argmax(), counts.argmin()
        assert abs(nodes[common]).max() < abs(nodes[rare]).max()

    def test_it_tells_one_step_and_the_waves_apart(self, model: Graph) -> None:
        found = model.between(torch.tensor([[0, 2]]), torch.tensor([[3, 9]]))
        assert found.shape == (1, 2, 2, 2)
        assert found[0, 0, 1, 0] == pytest.approx(float(model.strengths(torch.tensor([[2]]), torch.tensor([[3]]))))
        assert found[0, 1, 1, 0] > found[0, 1, 1, 1] + 0.3
        assert not found[0, :, 0].any()


def without(data: Interactions, user: int, item: int) -> Interactions:
    """The same without what this user had of this item."""
    keep = ~((data.users == user) & (data.items == item))
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    return replace(
        data,
        offsets=kept_before[data.offsets],
        items=data.items[keep],
        events=data.events[keep],
        sent_at=data.sent_at[keep],
        sessions=data.sessions[keep],
    )
