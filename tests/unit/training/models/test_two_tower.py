"""The two towers and their training moments against the shared suite, and against the formulas of their loss."""

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
from training.content import rare_terms
from training.interactions import Feedback, Interactions
from training.loop import LoopConfig, Task, train
from training.models.moments import MomentBatch, Moments, MomentsConfig, share
from training.models.protocol import Part, Run
from training.models.two_tower import TwoTower, TwoTowerConfig
from training.shop import NOW_MS, Shop, two_taste_shop

SMALL = TwoTowerConfig(
    dim=8,
    n_attributes=4,
    dropout=0.0,
    loop=LoopConfig(n_epochs=80, learning_rate=2e-2),
    moments=MomentsConfig(batch_size=16, n_negatives=32, n_targets=3, max_history=6),
)
PURCHASE = EVENT_CODES["purchase"]


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


class TestMoments:
    def test_a_history_ends_before_its_target(self) -> None:
        """Ten events of one user, item n at day n: the history is what came just before, oldest first."""
        data = in_turn(10)
        made = Moments(data, MomentsConfig(batch_size=4, max_history=3))
        seen = []
        for batch in made.batches(0):
            for row in range(len(batch.targets)):
                target = int(batch.targets[row])
                history = [item for item in batch.items[row].tolist() if item]
                assert history == list(range(max(1, target - 3), target))
                assert (batch.age_days[row][batch.items[row] > 0] >= 0).all()
                seen.append(target)
        assert sorted(seen) == list(range(2, 11))
        assert made.n_batches == 3

    def test_targets_are_drawn_from_what_follows_of_the_same_user(self) -> None:
        data = in_turn(6, users=2)
        targets: dict[int, set[int]] = {}
        for epoch in range(40):
            for batch in Moments(data, MomentsConfig(max_history=1, n_targets=2)).batches(epoch):
                for newest, target in zip(batch.items[:, -1].tolist(), batch.targets.tolist(), strict=True):
                    targets.setdefault(newest, set()).add(target)
        assert targets[1] == {2, 3}
        assert targets[5] == {6}

    def test_negatives_follow_popularity_to_a_power(self) -> None:
        data = replace(in_turn(10), items=np.array([1] * 8 + [2] * 1 + [3] * 1))
        made = Moments(data, MomentsConfig(n_negatives=20_000, popularity_power=0.5))
        drawn = torch.bincount(next(made.batches(0)).negatives, minlength=11)[:4] / 20_000
        wanted = np.sqrt([0, 8, 1, 1])
        assert_allclose(drawn, wanted / wanted.sum(), atol=0.02)

    def test_processes_share_the_moments_and_not_the_negatives(self) -> None:
        batch = moments(two_taste_shop().interactions)
        shares = [share(batch, rank, 3) for rank in range(3)]
        assert sum(weight for _, weight in shares) == pytest.approx(1.0)
        targets = torch.cat([mine.targets for mine, _ in shares])
        assert sorted(targets.tolist()) == sorted(batch.targets.tolist())
        assert all(torch.equal(mine.negatives, batch.negatives) for mine, _ in shares)


def learner(data: Interactions) -> TwoTower:
    """An unfitted model with the draw's probabilities and towers of visible size."""
    model = TwoTower(10, replace(SMALL, moments=replace(SMALL.moments, n_negatives=5)))
    made = Moments(data, MomentsConfig(n_negatives=5))
    model.log_drawn = torch.from_numpy(np.log(np.maximum(5 * made.probabilities, 1e-9))).float()
    with torch.no_grad():
        model.items.own.weight.mul_(20.0)
        model.bias.copy_(torch.linspace(-1.0, 1.0, 11))
    return model.eval()


def moments(data: Interactions, n_negatives: int = 5) -> MomentBatch:
    return next(Moments(data, MomentsConfig(batch_size=20, n_negatives=n_negatives)).batches(0))


def in_turn(n: int, users: int = 1) -> Interactions:
    """Each user has items 1..n, one a day."""
    return Interactions(
        n_items=10,
        offsets=np.arange(users + 1) * n,
        items=np.tile(np.arange(1, n + 1), users),
        events=np.full(n * users, PURCHASE),
        sent_at=NOW_MS + np.tile(np.arange(n), users) * 86_400_000,
        sessions=np.tile(np.arange(n), users),
    )


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


class TestFeedback:
    """What was on display and not touched, and what labels say of a target."""

    def told(self, data: Interactions, **fields) -> Interactions:
        """Before each user's third item, items 9 and 10 were refused."""
        third = data.offsets[:-1] + 2
        plain = Feedback(
            worth=np.full(len(data), np.nan, np.float32),
            refused=np.repeat(third, 2),
            items=np.tile([9, 10], data.n_users),
            weights=np.full(2 * data.n_users, 0.5, np.float32),
        )
        return replace(data, feedback=replace(plain, **fields))

    def test_refusals_go_with_the_moment_that_they_precede(self) -> None:
        batch = moments(self.told(in_turn(4, users=3)))
        expected = batch.targets == 3
        assert expected.sum() == 3
        assert batch.refused is not None
        assert batch.refused_weights is not None
        assert batch.refused[expected].min() >= 9
        assert not batch.refused[~expected].any()
        assert batch.refused_weights.tolist() == expected.float().tolist()  # one drawn of two that count 0.5

    def test_the_loss_adds_the_refused_and_takes_the_label_for_the_worth(self) -> None:
        data = self.told(in_turn(4), worth=np.array([np.nan, 2.0, np.nan, 0.0], np.float32))
        model, batch = learner(data), moments(data)
        query = model.users(model.items(batch.items), batch.items, batch.events, batch.age_days) @ model.form
        bias = model.bias - model.log_drawn
        expected = 0.0
        for row, target in enumerate(batch.targets.tolist()):
            logits = query[row] @ model.items(torch.arange(11)).T + bias
            worth = {2: 2.0, 3: 1.0, 4: 0.0}[target]
            unwanted = torch.log1p(logits[batch.negatives].exp()).sum()
            expected += worth * (torch.log1p((-logits[target]).exp()) + unwanted)
            if target == 3:
                expected += 0.3 * 1.0 * torch.log1p(logits[batch.refused[row]].exp())
        assert_allclose(float(model.loss(batch)), float(expected) / 3, rtol=1e-4)

    def test_a_refused_item_sinks_for_those_who_refused_it(self) -> None:
        shop = two_taste_shop()
        data = shop.interactions
        own = np.where(data.users < 7, 1, 10)
        refused = Feedback(
            np.full(len(data), np.nan, np.float32), np.arange(len(data)), own, np.ones(len(data), np.float32)
        )
        plain = TwoTower(10, SMALL).fit(data, NOW_MS)
        taught = TwoTower(10, replace(SMALL, refusal=3.0)).fit(replace(data, feedback=refused), NOW_MS)
        history = ModelInput(np.array([[2, 3, 4]]), np.full((1, 3), PURCHASE), np.array([[3.0, 2.0, 1.0]], np.float32))

        def lead(model: TwoTower) -> float:
            """Of item 1 before the mean of the others of its taste."""
            scores = model.score(history)[0]
            return float(scores[1] - scores[2:6].mean())

        assert lead(taught) < lead(plain) - 0.5

    def test_without_a_label_a_fit_is_the_same(self) -> None:
        data = two_taste_shop().interactions
        nothing = np.zeros(0, np.int64)
        empty = Feedback(np.full(len(data), np.nan, np.float32), nothing, nothing, np.zeros(0, np.float32))
        ones = next(Moments(data, SMALL.moments).batches(0))
        others = next(Moments(replace(data, feedback=empty), SMALL.moments).batches(0))
        assert ones.worth is None
        assert all(bool((a == b).all()) for a, b in zip(ones[:6], others[:6], strict=True))
        model = learner(data)
        assert float(model.loss(ones)) == float(model.loss(others))

    def test_a_cut_keeps_what_was_shown_before_the_last_interaction_that_stays(self) -> None:
        data = self.told(in_turn(4, users=2), worth=np.arange(8, dtype=np.float32))
        cut = data.prefix(np.array([2, 8])).feedback
        assert cut is not None
        assert cut.worth.tolist() == [0, 1, 4, 5, 6, 7]
        assert cut.refused.tolist() == [4, 4]  # the first user's third item is gone, and what it was shown before it

    def test_processes_share_refusals_with_their_moments(self) -> None:
        batch = moments(self.told(in_turn(4, users=3)))
        parts = [share(batch, rank, 2)[0] for rank in range(2)]
        for part in parts:
            assert part.refused is not None
            assert (part.refused > 0).tolist() == (part.targets == 3).tolist()
