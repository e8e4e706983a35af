"""The parts against the shared suite, and what is peculiar to each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tests.suites.models import TasteSuite, history, one_user, shop_inputs
from training.content import rare_terms
from training.interactions import Interactions
from training.loop import LoopConfig, Task, train
from training.models.attention import Attention, AttentionConfig
from training.models.content import Content
from training.models.ease import Ease, EaseConfig, dense_weights, seen_matrix
from training.models.protocol import Part, Run, newest_occurrence
from training.models.transitions import Transitions, TransitionsConfig, follow
from training.models.windows import Windows, WindowsConfig
from training.shop import NOW_MS, Shop, two_taste_shop


class TestEase(TasteSuite):
    @classmethod
    def make(cls, n_items: int) -> Part:
        return Ease(n_items, EaseConfig(l2=1.0))

    def test_an_item_never_explains_itself(self, model: Ease, shop: Shop) -> None:
        for item in range(1, shop.interactions.n_items + 1):
            assert model.score(history([item], [1.0]))[0, item] == 0.0

    def test_the_older_of_two_histories_counts_less(self, model: Ease) -> None:
        new, old = model.score(history([2], [0.0])), model.score(history([2], [model.fading.half_life_days]))
        assert_allclose(old, new / 2, rtol=1e-5)

    def test_weights_follow_the_closed_form(self, shop: Shop, model: Ease) -> None:
        seen = np.zeros((14, 10))
        for user in range(14):
            seen[user, shop.interactions.items[shop.interactions.users == user] - 1] = 1
        precision = np.linalg.inv(seen.T @ seen + np.eye(10))
        expected = -precision[1] / np.diag(precision)
        expected[1] = 0.0
        assert_allclose(model.score(history([2], [0.0]))[0, 1:], expected, rtol=1e-4, atol=1e-6)

    def test_the_inverse_on_the_users_side_gives_the_same_weights(self) -> None:
        """With fewer users than items the smaller matrix is inverted; six users, ten items."""
        data = two_taste_shop(users=6, items=10).interactions
        seen = seen_matrix(data)[:, 1:]
        precision = np.linalg.inv((seen.T @ seen).toarray().astype(float) + 3.0 * np.eye(10))
        expected = -precision / np.diag(precision)
        np.fill_diagonal(expected, 0.0)
        assert_allclose(dense_weights(seen, 3.0), expected, rtol=1e-4, atol=1e-6)

    def test_items_beyond_the_dense_limit_are_left_out_but_scored(self, shop: Shop) -> None:
        model = Ease(10, EaseConfig(l2=1.0, max_items=4)).fit(shop.interactions, NOW_MS)
        assert model.score(shop_inputs(shop)).shape == (14, 11)
        assert len(model.weights) == 5

    def test_content_joins_an_item_that_nobody_had_with_its_likes(self, shop: Shop) -> None:
        """Item 10 loses its interactions; with content it is argued for by item 9, which shares its words."""
        data = forgotten(described(shop).interactions, item=10)
        seen, content = seen_matrix(data)[:, 1:], data.content[1:]
        gram = (seen.T @ seen + 5.0 * content @ content.T).toarray().astype(float) + np.eye(10)
        precision = np.linalg.inv(gram)
        expected = -precision / np.diag(precision)
        np.fill_diagonal(expected, 0.0)
        weights = dense_weights(seen, 1.0, content, 5.0)
        assert_allclose(weights, expected, rtol=1e-3, atol=1e-5)
        assert weights[8, 9] > 0.0
        assert not dense_weights(seen, 1.0)[8, 9]


class TestTransitions(TasteSuite):
    @classmethod
    def make(cls, n_items: int) -> Part:
        return Transitions(n_items)

    def test_what_follows_counts_more_than_what_came_before(self) -> None:
        data = one_user(items=[1, 2, 3], ages=np.array([3, 2, 1]))
        scores = Transitions(4).fit(data, NOW_MS).score(history([2], [0.0]))[0]
        assert scores[3] > scores[1] > 0.0
        assert scores[2] == scores[4] == 0.0

    def test_weights_follow_the_formula(self) -> None:
        """1 → 2 → 3: A[1,2] = A[2,3] = 1, A[1,3] = decay; a quarter backwards; then row^-.5, column^-.25."""
        data = one_user(items=[1, 2, 3], ages=np.array([3, 2, 1]))
        config = TransitionsConfig(decay=0.5, backwards=0.25)
        scores = Transitions(4, config).fit(data, NOW_MS).score(history([1], [0.0]))[0]
        assert_allclose(scores[2], 1.0 * 1.5**-0.5 * 1.25**-0.25, rtol=1e-5)
        assert_allclose(scores[3], 0.5 * 1.5**-0.5 * 1.5**-0.25, rtol=1e-5)

    def test_it_tells_apart_what_follows_and_how_often_it_came_right_after(self) -> None:
        """1 → 2 → 1 → 2 → 3: 2 came right after 1 twice, 1 and 3 after 2 once each, 3 never right after 1."""
        data = one_user(items=[1, 2, 1, 2, 3], ages=np.array([5, 4, 3, 2, 1]))
        model, candidates = Transitions(4).fit(data, NOW_MS), torch.tensor([[2, 3, 1]])
        strengths, times = model.between(torch.tensor([[0, 1, 2]]), candidates)[0]
        assert_allclose(times, np.log1p([[0, 0, 0], [2, 0, 0], [0, 1, 1]]), rtol=1e-6)
        expected = [model.score(history([item], [0.0]))[0, [2, 3, 1]] for item in (1, 2)]
        assert_allclose(strengths[1:], expected, rtol=1e-6)
        assert strengths[1, 1] > 0.0 == strengths[0].any()

    def test_users_are_not_chained(self) -> None:
        data = two_taste_shop().interactions
        weights = follow(data, TransitionsConfig())
        assert not weights[1:6, 6:].nnz
        assert not weights[6:, 1:6].nnz

    def test_an_item_that_nobody_had_borrows_from_its_likes(self, shop: Shop) -> None:
        data = forgotten(described(shop).interactions, item=10)
        plain, smooth = (Transitions(10, TransitionsConfig(n_alike=n)).fit(data, NOW_MS) for n in (0, 3))
        asked = history([8], [1.0])
        assert plain.score(asked)[0, 10] == 0.0
        assert smooth.score(asked)[0, 10] > 0.0
        assert smooth.score(history([10], [1.0]))[0, 6:10].all()


class TestContent(TasteSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def shop(cls) -> Shop:
        return described(two_taste_shop())

    @classmethod
    def make(cls, n_items: int) -> Part:
        return Content(n_items)

    def test_it_places_an_item_that_nobody_had(self, shop: Shop) -> None:
        data = forgotten(shop.interactions, item=10)
        scores = Content(10).fit(data, NOW_MS).score(history([7], [0.0]))[0]
        assert scores[10] > 0.0
        assert not scores[1:6].any()

    def test_without_words_it_says_nothing(self) -> None:
        data = two_taste_shop().interactions
        assert not Content(10).fit(data, NOW_MS).score(history([7], [0.0])).any()


def described(shop: Shop) -> Shop:
    """The shop with words: items of one taste share one, and every item has one of its own that nobody else has."""
    documents = [set(), *({"sweet" if item <= 5 else "salty", f"name {item}"} for item in range(1, 11))]
    return shop._replace(interactions=replace(shop.interactions, content=rare_terms(documents, max_share=0.6)))


def forgotten(data: Interactions, item: int) -> Interactions:
    """The same histories without one item."""
    keep = data.items != item
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    return replace(
        data,
        offsets=kept_before[data.offsets],
        items=data.items[keep],
        events=data.events[keep],
        sent_at=data.sent_at[keep],
        sessions=data.sessions[keep],
    )


def test_a_few_wild_logits_of_attention_do_not_stretch_the_scores_of_all() -> None:
    """Nor do items that it did not learn: they stand where the scores end."""
    model = Attention(1002)
    model.know(torch.arange(1, 1001))
    inputs = [torch.tensor([[3, 4]]), torch.ones(1, 2, dtype=torch.int64), torch.zeros(1, 2)]
    with torch.no_grad():
        model.bias[:] = torch.linspace(-1.0, 1.0, 1000)
        calm = model.eval()(*inputs)[0, 1:].std()
        model.bias[7] = -500.0
        scores = model(*inputs)[0]
    assert scores[1:].std() < 8 * calm  # -500 alone makes 16 of it
    assert scores[8] == scores[1001] == scores[1002] == scores[1:].min()


class TestAttention(TasteSuite):
    @classmethod
    def make(cls, n_items: int) -> Part:
        config = AttentionConfig(
            dim=16,
            n_layers=1,
            max_length=8,
            loop=LoopConfig(n_epochs=60, learning_rate=1e-2),
            windows=WindowsConfig(n_targets=3),
        )
        return Attention(n_items, config)

    def test_an_interrupted_fit_ends_like_an_unbroken_one(self, shop: Shop, tmp_path: Path) -> None:
        def fresh() -> tuple[Attention, Task]:
            torch.manual_seed(0)
            model = Attention(10, AttentionConfig(dim=8, n_layers=1, max_length=4))
            windows = Windows(shop.interactions, model.row_of.numpy(), 4, WindowsConfig(batch_size=4))
            return model, Task(windows.batches, windows.n_batches, model.loss)

        config = LoopConfig(n_epochs=4, seed=3)
        unbroken, task = fresh()
        train(unbroken, task, config)
        broken, task = fresh()
        with pytest.raises(KeyboardInterrupt):
            train(broken, stops_in(task, epoch=2), config, Run(checkpoint=tmp_path / "checkpoint"))
        resumed, task = fresh()
        train(resumed, task, config, Run(checkpoint=tmp_path / "checkpoint"))
        for name, tensor in unbroken.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), name

    def test_the_order_of_the_history_matters(self, model: Part) -> None:
        forth, back = history([1, 2, 3], [3.0, 2.0, 1.0]), history([3, 2, 1], [3.0, 2.0, 1.0])
        assert np.abs(model.score(forth) - model.score(back)).max() > 0.01


def stops_in(task: Task, epoch: int) -> Task:
    def batches(now: int):
        if now == epoch:
            raise KeyboardInterrupt
        return task.batches(now)

    return replace(task, batches=batches)


def test_the_newest_occurrence_of_each_item_is_marked() -> None:
    marked = newest_occurrence(torch.tensor([[0, 0, 3, 4, 3, 5]]))
    assert marked.tolist() == [[0, 0, 0, 1, 1, 1]]


def test_windows_learn_only_what_came_later_in_the_same_history() -> None:
    data = two_taste_shop().interactions
    windows = Windows(data, np.arange(11), 3, WindowsConfig(batch_size=5, n_positions=8, n_targets=2))
    following = {(int(a), int(b)) for u in range(14) for a, b in pairs(data, u)}
    n_batches = 0
    for batch in windows.batches(0):
        n_batches += 1
        last = batch.items[batch.rows, batch.positions]
        assert (last > 0).all()
        for item, targets in zip(last.tolist(), batch.targets.tolist(), strict=True):
            assert all((item, target) in following for target in targets if target)
            assert targets[0] > 0
        assert (batch.since_days >= 0).all()
    assert n_batches == windows.n_batches


def pairs(data: Interactions, user: int) -> list[tuple[int, int]]:
    items = data.items[data.offsets[user] : data.offsets[user + 1]]
    return [(items[i], items[j]) for i in range(len(items)) for j in range(i + 1, len(items))]
