"""How data are cut into what is learnt from, what choices are made on, and what is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.data.dataset import Cutoffs
from training.interactions import IntArray, Interactions, Requests

Protocol = Literal["temporal", "leave-one-out"]


@dataclass(frozen=True, slots=True)
class Past:
    """What was known at some time, and what users did next."""

    fit: Interactions
    now_ms: int
    requests: Requests


@dataclass(frozen=True, slots=True)
class Split:
    """Parts are fitted on `fit` as of `fit_now_ms`, the fusion on `validation`; `test` is looked at once.

    earlier: the same one step back, inside `fit`: more for a fusion to learn from
    """

    protocol: Protocol
    fit: Interactions
    fit_now_ms: int
    validation: Requests
    test: Requests
    earlier: Past


def split(data: Interactions, protocol: Protocol, cutoffs: Cutoffs) -> Split:
    """Cut by time, or by each user's last two interactions."""
    return temporal(data, *_milliseconds(cutoffs)) if protocol == "temporal" else leave_one_out(data)


def temporal(data: Interactions, train_end_ms: int, validation_end_ms: int, data_end_ms: int) -> Split:
    """Every user who does something in a window is asked for at its start, with all it did before as history."""
    earlier_ms = 2 * train_end_ms - validation_end_ms
    ends = [data.ends_before(at) for at in (earlier_ms, train_end_ms, validation_end_ms, data_end_ms)]
    return Split(
        "temporal",
        data.prefix(ends[1]),
        train_end_ms,
        _window(data, ends[1], ends[2], train_end_ms),
        _window(data, ends[2], ends[3], validation_end_ms),
        Past(data.prefix(ends[0]), earlier_ms, _window(data, ends[0], ends[1], earlier_ms)),
    )


def leave_one_out(data: Interactions) -> Split:
    """A user's last item is the test, the one before it the validation; users with fewer than three are fit only.

    Removals are not counted: they are of the history, and nobody is asked for what a user took away.
    """
    fit, known = _before(data, 2), _before(data, 3)
    return Split(
        "leave-one-out",
        fit,
        _after(fit),
        _left_out(data, 2, at_least=3),
        _left_out(data, 1, at_least=3),
        Past(known, _after(known), _left_out(data, 3, at_least=4)),
    )


def _left_out(data: Interactions, back: int, at_least: int) -> Requests:
    """The n-th item from the end, of users with so many, predicted from what came before it."""
    users, places = _from_the_end(data, back, at_least)
    return Requests(users, places, places + 1, data.sent_at[places])


def _before(data: Interactions, back: int) -> Interactions:
    """All before the n-th item from the end; of users with too few for that, all before the second from the end; of
    those with two or less, all."""
    ends = data.offsets[1:].copy()
    for n in range(2, back + 1):
        users, places = _from_the_end(data, n, at_least=n + 1)
        ends[users] = places
    return data.prefix(ends)


def _from_the_end(data: Interactions, back: int, at_least: int) -> tuple[IntArray, IntArray]:
    """Users with at least so many items, and the place of the n-th from the end of each."""
    chosen = np.flatnonzero(data.chosen)
    offsets = np.searchsorted(chosen, data.offsets)
    users = np.flatnonzero(np.diff(offsets) >= at_least)
    return users, chosen[offsets[users + 1] - back]


def _after(data: Interactions) -> int:
    return int(data.sent_at.max(initial=0)) + 1


def _window(data: Interactions, ends: IntArray, until: IntArray, now_ms: int) -> Requests:
    n_chosen = np.concatenate([[0], np.cumsum(data.chosen)])
    users = np.flatnonzero(n_chosen[until] > n_chosen[ends])
    return Requests(users, ends[users], until[users], np.full(len(users), now_ms, np.int64))


def _milliseconds(cutoffs: Cutoffs) -> tuple[int, int, int]:
    moments = (cutoffs.train_end, cutoffs.validation_end, cutoffs.data_end)
    train_end, validation_end, data_end = (round(moment.timestamp() * 1000) for moment in moments)
    return train_end, validation_end, data_end
