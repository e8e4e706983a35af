"""From a user's rows to the model's arrays: the same functions in training and serving, so that no skew can arise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from fusionrec.feature_spec import DAY_MS, EVENT_CODES, HISTORY_LENGTH
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
    """Long-term history and the live session's events as one, by time; ties keep their order, the profile's first.

    Batch features carry no event ids, so an event that both rows hold is recognised by item, type and time. A full
    profile has forgotten what is older than its first event: such a session event is taken as forgotten too.
    """
    known = _events(profile, "history_item_ids", "history_event_types", "history_sent_at")
    live = _events(session, "item_ids", "event_types", "sent_at")
    if not live:
        events = known[-max_length:]
    else:
        held = Counter(known)
        first = known[0][2] if len(known) >= HISTORY_LENGTH else -1
        fresh = []
        for event in live:
            held[event] -= 1
            if held[event] < 0 and event[2] >= first:
                fresh.append(event)
        events = sorted([*known, *fresh], key=itemgetter(2))[-max_length:]
    items, types, times = zip(*events, strict=True) if events else ((), (), ())
    return History(items, types, times)


def _events(row: Row, items: str, types: str, times: str) -> list[tuple[str, str, int]]:
    columns = cast(tuple[list[str], list[str], list[int]], (row[items], row[types], row[times]))
    return list(zip(*columns, strict=True))


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
