"""How data are cut into what is learnt from, what choices are made on, and what is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.data.dataset import Cutoffs
from training.interactions import Interactions, Requests

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
        _window(ends[1], ends[2], train_end_ms),
        _window(ends[2], ends[3], validation_end_ms),
        Past(data.prefix(ends[0]), earlier_ms, _window(ends[0], ends[1], earlier_ms)),
    )


def leave_one_out(data: Interactions) -> Split:
    """A user's last item is the test, the one before it the validation; users with fewer than three are fit only."""
    lengths = np.diff(data.offsets)
    users = np.flatnonzero(lengths >= 3)
    last = data.offsets[users + 1] - 1
    ends = data.offsets[1:] - np.where(lengths >= 3, 2, 0)
    fit = data.prefix(ends)
    return Split(
        "leave-one-out",
        fit,
        int(fit.sent_at.max(initial=0)) + 1,
        Requests(users, last - 1, last, data.sent_at[last - 1]),
        Requests(users, last, last + 1, data.sent_at[last]),
        _third_last(data, lengths),
    )


def _third_last(data: Interactions, lengths: npt.NDArray[np.int64]) -> Past:
    """A user's third-last item, predicted from what came before it; users with fewer than four have none."""
    users = np.flatnonzero(lengths >= 4)
    at = data.offsets[users + 1] - 3
    known = data.prefix(data.offsets[1:] - np.select([lengths >= 4, lengths >= 3], [3, 2], 0))
    return Past(known, int(known.sent_at.max(initial=0)) + 1, Requests(users, at, at + 1, data.sent_at[at]))


def _window(ends: npt.NDArray[np.int64], until: npt.NDArray[np.int64], now_ms: int) -> Requests:
    users = np.flatnonzero(until > ends)
    return Requests(users, ends[users], until[users], np.full(len(users), now_ms, np.int64))


def _milliseconds(cutoffs: Cutoffs) -> tuple[int, int, int]:
    moments = (cutoffs.train_end, cutoffs.validation_end, cutoffs.data_end)
    train_end, validation_end, data_end = (round(moment.timestamp() * 1000) for moment in moments)
    return train_end, validation_end, data_end
