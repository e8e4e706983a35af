"""Attention goes on learning from what is new: the right stretches, nothing held out, the old part left alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fusionrec.errors import BadInputError
from fusionrec.feature_spec import DAY_MS
from training import fine_tuning
from training.fine_tuning import FineTuneConfig, choose_epochs, fine_tune, stretches
from training.interactions import Interactions
from training.loop import LoopConfig
from training.models.attention import Attention, AttentionConfig
from training.models.ease import Ease, EaseConfig
from training.models.windows import WindowsConfig
from training.update import Job

N_USERS, N_ITEMS, N_DAYS, NEW = 40, 12, 30, 20  # a day an event; from day 20 on everybody walks the other way


def walks() -> Interactions:
    days = np.tile(np.arange(N_DAYS), N_USERS)
    user = np.repeat(np.arange(N_USERS), N_DAYS)
    steps = np.where(days < NEW, days, 2 * NEW - days)
    return Interactions(
        N_ITEMS,
        np.arange(N_USERS + 1) * N_DAYS,
        1 + (user + steps) % N_ITEMS,
        np.full(len(days), 4),
        days * DAY_MS,
        np.zeros(len(days), np.int64),
    )


@pytest.fixture(scope="module")
def data() -> Interactions:
    return walks()


@pytest.fixture(scope="module")
def part(data: Interactions) -> Attention:
    """Trained until day 20."""
    config = AttentionConfig(
        dim=16, n_layers=1, max_length=8, loop=LoopConfig(n_epochs=12, learning_rate=1e-2), windows=WindowsConfig(8)
    )
    return Attention(N_ITEMS, config).fit(data.prefix(data.ends_before(NEW * DAY_MS)), NEW * DAY_MS)


def first_guess_is_right(part: Attention, step: int) -> float:
    """The share of items after which the part puts the one that is so many steps on first."""
    items = (np.arange(N_ITEMS)[:, None] + step * np.arange(4)[None, :]) % N_ITEMS + 1
    ages = np.tile(np.arange(4, 0, -1, dtype=np.float32), (N_ITEMS, 1))
    with torch.inference_mode():
        best = part(torch.from_numpy(items), torch.full((N_ITEMS, 4), 4), torch.from_numpy(ages))[:, 1:].argmax(dim=1)
    return float((best.numpy() == (items[:, -1] - 1 + step) % N_ITEMS).mean())


def test_it_learns_the_new_way_and_leaves_the_old_part_alone(data: Interactions, part: Attention) -> None:
    before = {name: value.clone() for name, value in part.state_dict().items()}
    assert first_guess_is_right(part, 1) > 0.9
    assert first_guess_is_right(part, -1) < 0.3
    tuned = fine_tune(part, data, NEW * DAY_MS, FineTuneConfig(rate=1.0), n_epochs=8)
    assert first_guess_is_right(tuned, -1) > 0.9
    assert all(torch.equal(value, before[name]) for name, value in part.state_dict().items())


def test_old_stretches_keep_it_from_forgetting(data: Interactions, part: Attention) -> None:
    kept, lost = (
        first_guess_is_right(
            fine_tune(part, data, NEW * DAY_MS, FineTuneConfig(rate=1.0, replay=replay), n_epochs=2), 1
        )
        for replay in (1.0, 0.0)
    )
    assert kept > 0.9
    assert lost < 0.5


def test_the_same_data_and_seed_give_the_same_part(data: Interactions, part: Attention) -> None:
    once, again = (fine_tune(part, data, NEW * DAY_MS, FineTuneConfig(), n_epochs=1) for _ in range(2))
    assert torch.equal(once.item.weight, again.item.weight)
    assert not torch.equal(once.item.weight, part.item.weight)


def test_stretches_hold_every_new_event_and_no_other_user(data: Interactions) -> None:
    since = NEW * DAY_MS
    mixed = stretches(data, since, width=8, replay=1.0, seed=0)
    lengths = np.diff(mixed.offsets)
    new = np.add.reduceat(mixed.sent_at >= since, mixed.offsets[:-1])
    assert new[:N_USERS].tolist() == [N_DAYS - NEW] * N_USERS
    assert lengths[:N_USERS].tolist() == [8 + N_DAYS - NEW] * N_USERS
    assert not new[N_USERS:].any(), "an old stretch reaches into the new"
    assert (lengths[N_USERS:] <= 9).all()
    assert len(lengths) == 4 * N_USERS  # three windows a user, as many old ones
    same_user = np.diff(mixed.sent_at) == DAY_MS
    same_user[mixed.offsets[1:-1] - 1] = True
    assert same_user.all(), "events of one stretch are neighbours"


def test_how_long_is_found_without_the_events_that_say_so(
    data: Interactions, part: Attention, monkeypatch: pytest.MonkeyPatch
) -> None:
    latest: list[int] = []
    real = fine_tuning.one_epoch

    def spy(part: Attention, data: Interactions, *rest: object) -> Attention:
        latest.append(int(data.sent_at.max()))
        return real(part, data, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(fine_tuning, "one_epoch", spy)
    config = FineTuneConfig(rate=1.0, max_epochs=3, held_out=0.3)
    n_epochs = choose_epochs(part, data, NEW * DAY_MS, config, "keep")
    assert 1 <= n_epochs <= 3
    until = (N_DAYS - 1) * DAY_MS + 1
    assert max(latest) < until - 0.3 * (until - NEW * DAY_MS)


def test_no_epoch_is_chosen_where_none_helps(data: Interactions, part: Attention) -> None:
    """Where everybody goes on as before, one epoch at a wild rate is worse than none."""
    steady = walks()
    steady.items[:] = 1 + (np.repeat(np.arange(N_USERS), N_DAYS) + np.tile(np.arange(N_DAYS), N_USERS)) % N_ITEMS
    assert choose_epochs(part, steady, NEW * DAY_MS, FineTuneConfig(rate=30.0), "keep") == 0


def test_a_model_without_attention_cannot_go_on_learning() -> None:
    state = SimpleNamespace(fitted=SimpleNamespace(parts=(Ease(5, EaseConfig(l2=1.0)),)))
    job: Any = SimpleNamespace(tuning=FineTuneConfig(), source=SimpleNamespace(state=state))
    with pytest.raises(BadInputError, match="no attention part") as caught:
        Job._epochs(job, walks())
    assert caught.value.pointer == "--fine-tune"
    job.tuning = None
    assert Job._epochs(job, walks()) == 0
