"""The two towers against the shared suite, and against the formulas of their loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fusionrec.feature_spec import EVENT_CODES
from fusionrec.transforms import ModelInput
from tests.suites.models import TasteSuite
from tests.suites.towers import PURCHASE, SMALL, learner, moments
from training.content import rare_terms
from training.interactions import Interactions
from training.loop import LoopConfig, Task, train
from training.models.moments import MomentBatch, Moments, MomentsConfig
from training.models.protocol import Part, Run
from training.models.two_tower import TwoTower, UserTower
from training.shop import NOW_MS, Shop, two_taste_shop


def described(shop: Shop) -> Shop:
    documents = [set(), *({"sweet" if item <= 5 else "salty", f"pair {item // 2}"} for item in range(1, 11))]
    return shop._replace(interactions=replace(shop.interactions, content=rare_terms(documents, max_share=0.6)))


class TestTwoTower(TasteSuite):
    @classmethod
    def make(cls, n_items: int) -> Part:
        return TwoTower(n_items, SMALL)

    def test_a_history_beyond_the_newest_events_changes_nothing(self, model: TwoTower) -> None:
        events = np.full((1, 8), PURCHASE)
        ages = np.zeros((1, 8), np.float32)
        one, other = (
            ModelInput(np.array([items]), events, ages) for items in ([1, 2, *range(3, 9)], [9, 9, *range(3, 9)])
        )
        assert_allclose(model.score(one), model.score(other), rtol=1e-6)

    def test_items_of_one_taste_are_alike(self, model: TwoTower) -> None:
        found = model.between(torch.tensor([[0, 2]]), torch.tensor([[3, 9]]))
        assert found.shape == (1, 1, 2, 2)
        assert found[0, 0, 1, 0] > found[0, 0, 1, 1]
        assert not found[0, 0, 0].any()

    def test_the_loss_is_the_corrected_weighted_log_loss(self, shop: Shop) -> None:
        """Computed again in numpy from the towers' outputs: -w log σ(s - log k q) for the target, -w log(1 - σ(·)) for
        each negative."""
        model, batch = learner(shop.interactions), moments(shop.interactions, n_negatives=5)
        batch = batch._replace(target_events=torch.where(batch.targets > 5, EVENT_CODES["view"], PURCHASE))
        with torch.no_grad():
            vectors = model.items(torch.arange(11)).numpy().astype(float)
            users = model.users(model.items(batch.items), batch.items, batch.events, batch.age_days).numpy()
        expected = np.bincount(shop.interactions.items, minlength=11) ** 0.75
        expected = 5 * expected / expected.sum()
        with np.errstate(divide="ignore"):
            logits = users @ model.form.detach().numpy() @ vectors.T + model.bias.detach().numpy() - np.log(expected)
        sigma = 1 / (1 + np.exp(-logits))
        losses = []
        for row, target in enumerate(batch.targets.tolist()):
            weight = 0.3 if target > 5 else 1.0
            losses.append(weight * (-np.log(sigma[row, target]) - np.log(1 - sigma[row, batch.negatives]).sum()))
        assert_allclose(model.loss(batch).item(), np.mean(losses), rtol=1e-4)

    def test_a_target_of_no_worth_teaches_nothing(self, shop: Shop) -> None:
        batch = moments(shop.interactions)
        removed = batch._replace(target_events=torch.full_like(batch.targets, EVENT_CODES["removal"]))
        model = learner(shop.interactions)
        assert model.loss(removed).item() == 0.0
        assert model.loss(batch).item() > 0.0

    def test_scores_estimate_shares_and_not_ratios_to_the_draw(self) -> None:
        """Users without taste: what comes next is item 1 half of the time, whatever the power of the draw."""
        data = tasteless(np.random.default_rng(0))
        shares = np.bincount(data.items, minlength=5)[1:] / len(data)
        for power in (0.0, 1.0):
            config = replace(
                SMALL,
                loop=LoopConfig(n_epochs=15, learning_rate=1e-2),
                moments=MomentsConfig(batch_size=64, n_negatives=64, popularity_power=power),
            )
            model = TwoTower(4, config).fit(data, NOW_MS)
            scores = model.score(ModelInput(np.array([[1]]), np.array([[PURCHASE]]), np.zeros((1, 1), np.float32)))
            assert_allclose(np.exp(scores[0, 1:]), shares, atol=0.1)

    def test_an_interrupted_fit_ends_like_an_unbroken_one(self, shop: Shop, tmp_path: Path) -> None:
        def task(model: TwoTower, stop: int = -1) -> Task[MomentBatch]:
            made = Moments(shop.interactions, SMALL.moments)

            def batches(epoch: int):
                if epoch == stop:
                    raise KeyboardInterrupt
                return made.batches(epoch)

            return Task(batches, made.n_batches, model.loss)

        config = LoopConfig(n_epochs=4, seed=3)
        unbroken, broken, resumed = (learner(shop.interactions) for _ in range(3))
        train(unbroken, task(unbroken), config)
        run = Run(checkpoint=tmp_path / "checkpoint")
        with pytest.raises(KeyboardInterrupt):
            train(broken, task(broken, stop=2), config, run)
        train(resumed, task(resumed), config, run)
        for name, tensor in unbroken.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), name


class TestWithAttributes(TasteSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def shop(cls) -> Shop:
        return described(two_taste_shop())

    @classmethod
    def make(cls, n_items: int) -> Part:
        return TwoTower(n_items, SMALL)

    def test_attributes_place_an_item_that_nobody_had(self, shop: Shop) -> None:
        data = shop.interactions
        keep = data.items != 10
        kept_before = np.concatenate([[0], np.cumsum(keep)])
        arrays = {name: getattr(data, name)[keep] for name in ("items", "events", "sent_at", "sessions")}
        model = TwoTower(10, SMALL).fit(replace(data, offsets=kept_before[data.offsets], **arrays), NOW_MS)
        found = model.between(torch.tensor([[10]]), torch.tensor([[7, 3]]))[0, 0, 0]
        assert found[0] > found[1] + 0.2


class TestDeep(TestWithAttributes):
    @classmethod
    def make(cls, n_items: int) -> Part:
        return TwoTower(n_items, replace(SMALL, deep=True))

    def test_the_towers_are_bent(self, model: TwoTower) -> None:
        assert model.users.deep is not None
        assert not hasattr(model, "items")


@torch.inference_mode()
def test_a_user_is_a_fading_average_of_its_items_and_a_situation() -> None:
    """Computed again in numpy: three events of three types, and nobody's empty history. What stands at padding is as
    large as the rest."""
    torch.manual_seed(0)
    tower = UserTower(replace(SMALL, dim=4)).eval()
    for learnt in tower.parameters():
        torch.nn.init.normal_(learnt)
    vectors = torch.randn(2, 4, 4)
    items, types = [5, 2, 5], [EVENT_CODES[name] for name in ("view", "cart", "purchase")]
    ages = [30.0, 4.0, 1.0]
    history = torch.tensor([[0, *items], [0] * 4]), torch.tensor([[0, *types], [0] * 4])
    found = tower(vectors, *history, torch.tensor([[0.0, *ages], [0.0] * 4]))

    kind, fade = tower.kind.weight.numpy()[:, 0], tower.fade.numpy()
    share = np.exp(fade[-3:] + kind[types] - tower.rate.item() * np.log1p(ages))
    average = share / share.sum() @ vectors[0, 1:].numpy()
    profile = (average - average.mean()) / np.sqrt(average.var() + 1e-5) * tower.norm.weight.numpy()
    situations = np.zeros((2, 10))
    situations[0, [0, 2]] = np.log(1 + 3) / 4, np.log(1 + 1.0) / 4
    situations[0, 3 + np.array(types)] = 1 / 3
    situations[1, 1] = 1.0  # nothing is known
    expected = situations @ tower.of_situation.weight.numpy().T
    expected += tower.of_situation.bias.numpy() + tower.norm.bias.numpy()
    expected[0] += profile
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def tasteless(rng: np.random.Generator) -> Interactions:
    items = rng.choice(np.arange(1, 5), size=2_000, p=[0.5, 0.25, 0.15, 0.1])
    return Interactions(
        n_items=4,
        offsets=np.arange(201) * 10,
        items=items,
        events=np.full(2_000, PURCHASE),
        sent_at=NOW_MS + np.tile(np.arange(10), 200),
        sessions=np.zeros(2_000, np.int64),
    )
