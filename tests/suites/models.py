"""What every part must do. A model's test class inherits ModelSuite and gives it a fitted `model`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.testing import assert_allclose

from fusionrec.feature_spec import DAY_MS, EVENT_CODES, HISTORY_LENGTH
from fusionrec.transforms import ModelInput
from training.export import HISTORY_INPUTS, random_inputs
from training.interactions import Interactions, Requests
from training.models.protocol import Part
from training.shop import NOW_MS, Shop, two_taste_shop


def shop_inputs(shop: Shop) -> ModelInput:
    """Every user of the shop, asked for now."""
    data = shop.interactions
    users = np.arange(data.n_users)
    requests = Requests(users, data.offsets[1:], data.offsets[1:], np.full(data.n_users, NOW_MS))
    return requests.inputs(data, users)


def padded(inputs: ModelInput, extra: int) -> ModelInput:
    return ModelInput(*(np.pad(array, ((0, 0), (extra, 0))) for array in inputs))


def rows(inputs: ModelInput, chosen: slice) -> ModelInput:
    return ModelInput(*(array[chosen] for array in inputs))


def arrays(n_items: int, batch: int, length: int) -> ModelInput:
    return ModelInput(*(tensor.numpy() for tensor in random_inputs(n_items, batch, length, seed=length)))


def history(items: list[int], ages: list[float]) -> ModelInput:
    """One user's purchases, oldest first, with their ages in days."""
    events = np.full((1, len(items)), EVENT_CODES["purchase"])
    return ModelInput(np.array([items]), events, np.array([ages], np.float32))


def one_user(items: list[int], ages: np.ndarray) -> Interactions:
    """One user's purchases and their ages in days; the catalogue has one item more."""
    n = len(items)
    order = np.argsort(-ages, kind="stable")
    return Interactions(
        n_items=max(items) + 1,
        offsets=np.array([0, n]),
        items=np.array(items)[order],
        events=np.full(n, EVENT_CODES["purchase"]),
        sent_at=NOW_MS - ages[order] * DAY_MS,
        sessions=np.arange(n),
    )


def weekly_shop() -> Interactions:
    """Ten users who buy item 1 in each of twenty weeks, and beside it another item that they never buy again."""
    weeks, users = 20, 10
    others = [2 + (np.arange(weeks) + user) % 25 for user in range(users)]
    return Interactions(
        n_items=30,
        offsets=np.arange(users + 1) * 2 * weeks,
        items=np.concatenate([np.stack([np.ones(weeks, int), other], axis=1).ravel() for other in others]),
        events=np.full(2 * weeks * users, EVENT_CODES["purchase"]),
        sent_at=np.tile(np.repeat(NOW_MS - (np.arange(weeks, 0, -1) * 7 - 6) * DAY_MS, 2), users),
        sessions=np.tile(np.repeat(np.arange(weeks), 2), users),
    )


ITEMS = [3, 1, 4, 1]
ASKED = history(ITEMS, [9.0, 5.0, 3.0, 2.0])


def differs(model: Part, inputs: ModelInput) -> bool:
    """Whether these inputs get other scores than `ASKED`, by more than rounding."""
    usual = model.score(ASKED)
    return bool(np.abs(model.score(inputs) - usual).max() > 1e-5 * np.ptp(usual))


class ModelSuite:
    """Needs fixtures `model` (fitted on `shop`) and, through `make`, an unfitted twin.

    `taught` is `model`, or the same fitted where there is more to learn from times than in the shop.
    """

    reads_events: ClassVar[bool] = True  # False: a view says as much as a purchase

    @classmethod
    def make(cls, n_items: int) -> Part:
        raise AssertionError("the test class makes its model here")

    @pytest.fixture(scope="class")
    @classmethod
    def shop(cls) -> Shop:
        return two_taste_shop()

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, shop: Shop) -> Part:
        return cls.make(shop.interactions.n_items).fit(shop.interactions, NOW_MS)

    @pytest.fixture(scope="class")
    @classmethod
    def taught(cls, model: Part) -> Part:
        return model

    @pytest.fixture(scope="class")
    @classmethod
    def session(cls, model: Part, tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
        path: Path = tmp_path_factory.mktemp("part") / "part.onnx"
        model.export_onnx(path)
        return onnxruntime.InferenceSession(path)

    def test_every_item_has_a_finite_score_and_padding_has_none(self, model: Part, shop: Shop) -> None:
        scores = model.score(shop_inputs(shop))
        assert scores.shape == (14, 11)
        assert np.isfinite(scores).all()
        assert not scores[:, 0].any()

    def test_more_padding_changes_nothing(self, model: Part, shop: Shop) -> None:
        inputs = shop_inputs(shop)
        assert_allclose(model.score(padded(inputs, 7)), model.score(inputs), rtol=1e-5, atol=1e-5)

    def test_a_row_does_not_depend_on_its_batch(self, model: Part, shop: Shop) -> None:
        inputs = shop_inputs(shop)
        assert_allclose(model.score(rows(inputs, slice(5, 6))), model.score(inputs)[5:6], rtol=1e-5, atol=1e-5)

    def test_fitting_twice_gives_the_same(self, model: Part, shop: Shop) -> None:
        twin = self.make(shop.interactions.n_items).fit(shop.interactions, NOW_MS)
        assert_allclose(twin.score(shop_inputs(shop)), model.score(shop_inputs(shop)), rtol=0, atol=0)

    def test_the_type_of_an_event_counts_where_it_is_read(self, taught: Part) -> None:
        viewed = ASKED.history_events.copy()
        viewed[0, -1] = EVENT_CODES["view"]
        assert differs(taught, ASKED._replace(history_events=viewed)) == self.reads_events

    def test_the_time_between_two_events_counts(self, taught: Part) -> None:
        assert differs(taught, history(ITEMS, [90.0, 5.0, 3.0, 2.0]))

    def test_the_time_since_the_last_event_counts(self, taught: Part) -> None:
        assert differs(taught, ASKED._replace(history_age_days=ASKED.history_age_days + 7.0))

    @pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 5), (14, 60), (3, HISTORY_LENGTH)])
    def test_onnx_scores_like_torch(
        self, model: Part, session: onnxruntime.InferenceSession, batch: int, length: int
    ) -> None:
        self.same(model, session, arrays(model.n_items, batch, length))

    def test_onnx_scores_an_empty_history_like_torch(self, model: Part, session: onnxruntime.InferenceSession) -> None:
        self.same(
            model,
            session,
            ModelInput(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)),
        )

    def same(self, model: Part, session: onnxruntime.InferenceSession, inputs: ModelInput) -> None:
        found = session.run(["scores"], dict(zip(HISTORY_INPUTS, inputs, strict=True)))[0]
        expected = model.score(inputs)
        assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))


class TasteSuite(ModelSuite):
    """For parts that learn taste: of what a user has not had, its own taste comes first."""

    def test_the_withheld_item_ranks_first(self, model: Part, shop: Shop) -> None:
        inputs = shop_inputs(shop)
        scores = torch.from_numpy(model.score(inputs).copy())
        scores.scatter_(1, torch.from_numpy(inputs.history_items), -torch.inf)[:, 0] = -torch.inf
        assert scores.argmax(dim=1).tolist() == shop.withheld.tolist()
