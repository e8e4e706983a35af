"""EASE and transitions that follow histories step by step equal those of a fit on where the histories end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from fusionrec.feature_spec import DAY_MS
from training.aligned import arranged, with_items
from training.feedback.incremental import EaseUpkeep, TransitionCounts, changed_users
from training.interactions import Interactions
from training.models.ease import Ease, EaseConfig
from training.models.transitions import Transitions, TransitionsConfig

N_ITEMS = 17
EASE = EaseConfig(l2=3.0, n_neighbours=N_ITEMS)
TRANSITIONS = TransitionsConfig(window=4)

Histories = list[list[tuple[int, int]]]  # (item, event) by user
event = st.tuples(st.integers(1, N_ITEMS), st.integers(1, 4))
users = st.lists(st.lists(event, max_size=9), min_size=5, max_size=25)


def interactions(histories: Histories) -> Interactions:
    flat = [each for history in histories for each in history]
    n = len(flat)
    items, events = (np.array([each[place] for each in flat], np.int64) for place in (0, 1))
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64)
    return Interactions(N_ITEMS, offsets, items, events, DAY_MS * np.arange(n), np.zeros(n, np.int64))


def dense(part: Ease | Transitions) -> np.ndarray:
    rows = np.zeros((N_ITEMS + 1, N_ITEMS + 1))
    for item, row in enumerate(part.row_of.tolist()):
        if row:
            np.add.at(rows[item], part.neighbours[row].numpy(), part.weights[row].numpy())
    return rows


def same_as_fits(before: Interactions, after: Interactions) -> None:
    ease, counts = EaseUpkeep.fit(before, EASE), TransitionCounts.fit(before, TRANSITIONS)
    ease.advance(before, after)
    counts.advance(before, after)
    fitted = Ease(N_ITEMS, EASE).fit(after, 0)
    assert_allclose(dense(ease.part(N_ITEMS)), dense(fitted), atol=2e-6)
    found, expected = counts.part(N_ITEMS, None), Transitions(N_ITEMS, TRANSITIONS).fit(after, 0)
    assert_allclose(dense(found), dense(expected), atol=1e-5)
    assert_allclose(dense(found.successions), dense(expected.successions), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(before=users, steps=st.lists(st.tuples(st.integers(0, 24), st.lists(event, min_size=1, max_size=5)), max_size=6))
def test_more_events_end_as_a_fit(before: Histories, steps: list[tuple[int, list[tuple[int, int]]]]) -> None:
    """Of old users, of new ones, of items that nobody had, and of items had before."""
    after = [list(history) for history in before] + [[], []]
    for user, more in steps:
        after[user % len(after)] += more
    same_as_fits(interactions([*before, [], []]), interactions(after))


@settings(max_examples=60, deadline=None)
@given(before=users, after=users)
def test_any_two_states_are_bridged(before: Histories, after: Histories) -> None:
    """Users who are gone, late events, corrections."""
    n = max(len(before), len(after))
    same_as_fits(*(interactions(each + [[]] * (n - len(each))) for each in (before, after)))


def many(seed: int, n_users: int = 60) -> Histories:
    rng = np.random.default_rng(seed)
    return [[(int(i), 1) for i in rng.integers(1, N_ITEMS - 2, rng.integers(3, 8))] for _ in range(n_users)]


def test_a_few_users_are_an_update_and_many_a_fit() -> None:
    before = many(0)
    few = [[*history, (5, 1)] if user < 2 else history for user, history in enumerate(before)]
    ease = EaseUpkeep.fit(interactions(before), EASE)
    assert ease.advance(interactions(before), interactions(few))
    assert not ease.advance(interactions(few), interactions(many(1)))


def test_what_somebody_had_again_changes_transitions_only() -> None:
    before = many(0)
    after = [[*history, history[0]] if user == 3 else history for user, history in enumerate(before)]
    ease, counts = EaseUpkeep.fit(interactions(before), EASE), TransitionCounts.fit(interactions(before), TRANSITIONS)
    was, followers = ease.model.weights(), counts.followers
    ease.advance(interactions(before), interactions(after))
    counts.advance(interactions(before), interactions(after))
    assert_allclose(ease.model.weights(), was, atol=0)
    assert abs(counts.followers - followers).sum() > 0


def test_a_precision_that_is_off_is_fitted_anew() -> None:
    before, after = interactions(many(0)), interactions([[*many(0)[0], (5, 1)], *many(0)[1:]])
    ease = EaseUpkeep.fit(before, EASE)
    ease.model.precision *= 1.01
    assert not ease.advance(before, after)
    assert_allclose(dense(ease.part(N_ITEMS)), dense(Ease(N_ITEMS, EASE).fit(after, 0)), atol=2e-6)


@pytest.mark.parametrize("room", [14, 15, 17])
def test_items_that_nobody_had_are_taken_in_while_there_is_room(room: int) -> None:
    before = many(0)
    n_head = len({item for history in before for item, _ in history})
    after = [[*history, (16, 1), (17, 1)] if user < 2 else history for user, history in enumerate(before)]
    ease = EaseUpkeep.fit(interactions(before), replace(EASE, max_items=room))
    assert len(ease.head) == n_head == 14
    assert ease.advance(interactions(before), interactions(after)), "the larger precision was wrong, and fitted anew"
    assert len(ease.head) == min(room, n_head + 2)
    if room == N_ITEMS:
        assert_allclose(dense(ease.part(N_ITEMS)), dense(Ease(N_ITEMS, EASE).fit(interactions(after), 0)), atol=2e-6)


def test_changed_users_are_those_with_another_history() -> None:
    before = interactions([[(1, 1), (2, 1)], [(3, 1)], [(4, 1), (5, 1)], [], [(6, 2)]])
    after = interactions([[(1, 1), (2, 1)], [(3, 1), (3, 1)], [(5, 1), (4, 1)], [(1, 1)], [(6, 3)]])
    assert changed_users(before, after).tolist() == [False, True, True, True, True]


def test_users_and_items_go_by_their_names() -> None:
    data = interactions([[(1, 1), (2, 2)], [(3, 1)], [(4, 1), (5, 2), (4, 3)]])
    moved = arranged(data, np.array([2, -1, 0]))
    assert moved.offsets.tolist() == [0, 3, 3, 5]
    assert moved.items.tolist() == [4, 5, 4, 1, 2]
    assert moved.events.tolist() == [1, 2, 3, 1, 2]
    place = np.array([0, 3, 0, 0, 1, 2, *[0] * (N_ITEMS - 5)])
    left = with_items(data, place, 3)
    assert left.offsets.tolist() == [0, 1, 1, 4]
    assert left.items.tolist() == [3, 1, 2, 1]
    assert left.n_items == 3
