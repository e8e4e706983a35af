"""From a user's rows to the model's arrays: the same functions in training and serving, so that no skew can arise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fusionrec.feature_spec import DAY_MS, EVENT_CODES
from fusionrec.ports import Row

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class History:
    """One user's interactions, oldest first; the three sequences have equal lengths. Times in ms since 1970 UTC."""

    item_ids: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    sent_at: tuple[int, ...] = ()


class ModelInput(NamedTuple):
    """What the ranker takes, besides the eligibility mask. All (B, L), padded with 0 on the left."""

    history_items: IntArray  # vocabulary indices, 0 = padding
    history_events: IntArray  # event codes, 0 = padding
    history_age_days: FloatArray  # days before the request, 0 at padding


def merge_history(profile: Row, session: Row, max_length: int) -> History:
    """Long-term history, then the live session's events that are newer; ties keep their order.

    An event that the batch features already hold is recognised by time: a session event counts when it is later
    than the profile's last one.
    """
    items = list(profile["history_item_ids"])  # type: ignore[arg-type]
    types = list(profile["history_event_types"])  # type: ignore[arg-type]
    times = list(profile["history_sent_at"])  # type: ignore[arg-type]
    newest = times[-1] if times else -1
    live = zip(session["item_ids"], session["event_types"], session["sent_at"], strict=True)  # type: ignore[arg-type]
    for item, event_type, sent_at in live:
        if sent_at > newest:
            items.append(item)
            types.append(event_type)
            times.append(sent_at)
    keep = slice(-max_length, None)
    return History(tuple(items[keep]), tuple(types[keep]), tuple(times[keep]))


def model_input(
    indices: Sequence[IntArray], events: Sequence[IntArray], sent_at: Sequence[IntArray], now_ms: Sequence[int]
) -> ModelInput:
    """Pad B histories on the left to the longest of them, at least one column.

    indices, events, sent_at: one int64 array a user, oldest first, equal lengths
    now_ms: the time of each request; an event from its future gets age 0
    """
    length = max([1, *(len(row) for row in indices)])
    shape = (len(indices), length)
    items, codes, ages = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    for row, (item, code, at, now) in enumerate(zip(indices, events, sent_at, now_ms, strict=True)):
        if len(item):
            items[row, -len(item) :] = item
            codes[row, -len(code) :] = code
            ages[row, -len(at) :] = np.maximum(now - at, 0) / DAY_MS
    return ModelInput(items, codes, ages)


def event_codes(event_types: Sequence[str]) -> IntArray:
    """Codes of event types; an unknown type counts as a view, the weakest signal."""
    return np.array([EVENT_CODES.get(name, EVENT_CODES["view"]) for name in event_types], np.int64)
