"""Splits: nothing of a later window reaches an earlier one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fusionrec.feature_spec import DAY_MS, EVENT_CODES
from training.interactions import Interactions, Vocabulary
from training.models.attention import Attention, AttentionConfig
from training.models.ease import Ease, EaseConfig
from training.models.popularity import Popularity
from training.models.protocol import Part
from training.protocols import leave_one_out, temporal
from training.shop import NOW_MS, two_taste_shop


def events(days: list[list[int]], items: list[list[int]]) -> Interactions:
    flat_days = np.concatenate([np.array(row) for row in days])
    return Interactions(
        n_items=9,
        offsets=np.concatenate([[0], np.cumsum([len(row) for row in days])]),
        items=np.concatenate([np.array(row) for row in items]),
        events=np.full(len(flat_days), EVENT_CODES["purchase"]),
        sent_at=flat_days * DAY_MS,
        sessions=np.concatenate([np.arange(len(row)) for row in days]),
    )


def test_temporal_windows_start_at_their_cutoff_and_end_before_the_next() -> None:
    data = events([[1, 2, 9, 10, 11, 20], [12, 21], [3, 4]], [[1, 2, 3, 4, 4, 5], [6, 7], [8, 9]])
    cut = temporal(data, 10 * DAY_MS, 20 * DAY_MS, 30 * DAY_MS)
    assert_array_equal(cut.fit.items, [1, 2, 3, 8, 9])
    assert_array_equal(cut.fit.offsets, [0, 3, 3, 5])
    assert_array_equal(cut.validation.users, [0, 1])
    assert_array_equal(cut.validation.relevant(data, 0), [4])
    assert_array_equal(cut.test.relevant(data, 0), [5])
    assert cut.validation.inputs(data, [1]).history_items.tolist() == [[0]]  # cold: one column of padding
    assert cut.test.inputs(data, [0]).history_items.tolist() == [[1, 2, 3, 4, 4]]
    assert cut.test.inputs(data, [0]).history_age_days.min() == 9.0


def test_users_of_a_window_are_asked_for_at_its_start() -> None:
    """Not when they come, which nobody knows by then."""
    data = events([[1, 12, 25], [2, 13, 21], [3, 17]], [[1, 2, 3], [4, 5, 6], [7, 8]])
    cut = temporal(data, 10 * DAY_MS, 20 * DAY_MS, 30 * DAY_MS)
    assert_array_equal(cut.validation.now_ms, np.full(3, 10 * DAY_MS))
    assert_array_equal(cut.test.now_ms, np.full(2, 20 * DAY_MS))
    assert_array_equal(cut.test.inputs(data, [0, 1]).history_age_days, [[19.0, 8.0], [18.0, 7.0]])
    assert cut.fit_now_ms == 10 * DAY_MS


def test_leave_one_out_keeps_the_last_two_from_the_fit() -> None:
    data = events([[1, 2, 3, 4], [5, 6], [7, 8, 9]], [[1, 2, 3, 4], [5, 6], [7, 8, 9]])
    cut = leave_one_out(data)
    assert_array_equal(cut.fit.items, [1, 2, 5, 6, 7])
    assert_array_equal([cut.validation.relevant(data, row)[0] for row in (0, 1)], [3, 8])
    assert_array_equal([cut.test.relevant(data, row)[0] for row in (0, 1)], [4, 9])
    assert cut.test.inputs(data, [0]).history_items.tolist() == [[1, 2, 3]]


def removed(data: Interactions, *places: int) -> Interactions:
    kinds = data.events.copy()
    kinds[list(places)] = EVENT_CODES["removal"]
    return replace(data, events=kinds)


def test_nobody_is_asked_for_what_a_user_took_away() -> None:
    data = events([[1, 2, 3, 4, 5], [6, 7, 8]], [[1, 2, 3, 4, 3], [5, 6, 7]])
    cut = leave_one_out(removed(data, 4, 6))
    assert_array_equal(cut.test.users, [0])  # the other has two items that stay
    assert_array_equal(cut.test.relevant(data, 0), [4])
    assert_array_equal(cut.validation.relevant(data, 0), [3])
    assert_array_equal(cut.earlier.requests.relevant(data, 0), [2])
    assert_array_equal(cut.fit.items, [1, 2, 5, 6, 7])


def test_one_step_back_asks_users_with_something_before_it() -> None:
    """Who has three items has nothing before the third from the end; removals make no history longer."""
    data = events([[1, 2, 3, 4], [5, 6, 7, 8], [1, 2, 3, 4]], [[1, 2, 3, 4], [5, 6, 7, 8], [1, 2, 3, 4]])
    earlier = leave_one_out(removed(data, 5)).earlier
    assert_array_equal(earlier.requests.users, [0, 2])
    assert_array_equal(earlier.requests.relevant(data, 0), [2])
    assert_array_equal(earlier.fit.items, [1, 5, 6, 1])


def test_a_removal_is_of_the_history_but_no_answer_to_a_window() -> None:
    data = removed(events([[1, 11, 12, 21], [2, 12]], [[1, 2, 3, 4], [5, 6]]), 2, 5)
    cut = temporal(data, 10 * DAY_MS, 20 * DAY_MS, 30 * DAY_MS)
    assert_array_equal(cut.validation.users, [0])
    assert_array_equal(cut.validation.relevant(data, 0), [2])
    assert cut.test.inputs(data, [0]).history_items.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("kind", ["popularity", "ease", "attention"])
def test_events_after_the_cutoff_do_not_change_the_fit(kind: str) -> None:
    """The future is replaced by other items: every fitted number stays the same."""
    data = two_taste_shop().interactions
    cutoff = NOW_MS - 2 * DAY_MS
    later = data.sent_at >= cutoff
    assert later.any()
    other = replace(data, items=np.where(later, data.items % 10 + 1, data.items))

    def fitted(known: Interactions) -> Part:
        fit = temporal(known, cutoff, NOW_MS, NOW_MS + 1).fit
        return part(kind).fit(fit, cutoff)

    one, two = fitted(data), fitted(other)
    for name, tensor in one.state_dict().items():
        assert tensor.equal(two.state_dict()[name]), name
    leaking = part(kind).fit(other, cutoff)
    assert any(
        not leaking.state_dict()[name].equal(value)
        for name, value in one.state_dict().items()
        if leaking.state_dict()[name].shape == value.shape
    )


def part(kind: str) -> Part:
    small = AttentionConfig(dim=8, n_layers=1, max_length=4)
    return {"popularity": Popularity(10), "ease": Ease(10, EaseConfig(l2=1.0)), "attention": Attention(10, small)}[kind]


def test_the_vocabulary_does_not_depend_on_the_order_of_the_input() -> None:
    ids = [f"{number:03d}" for number in range(200)]
    vocabulary = Vocabulary.shuffled(ids)
    assert vocabulary == Vocabulary.shuffled(reversed(ids))
    assert vocabulary != Vocabulary.shuffled(ids, seed=1)
    assert abs(np.corrcoef(np.argsort(vocabulary.item_ids), np.arange(200))[0, 1]) < 0.2
