"""A user's live state as a pure function of a set of events: late, repeated and shuffled ones end in the same row.

The row keeps the newest SESSION_LENGTH events and, beyond them, the newest SESSION_LENGTH removals, so that browsing
on does not bring back what a shopper sent away. Both are "the n greatest of a set", which merging in any order and
any batches preserves.

The limit: an act that revoked a removal is known as long as it is among the newest SESSION_LENGTH events; after that
the item hides again. To remember it longer and still not depend on the order of arrival, the row would have to keep
the newest act on every item, for any of them may be followed by a late removal that is older.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from fusionrec.feature_spec import SESSION_LENGTH
from fusionrec.ports import Interaction, Row


class SessionEvent(NamedTuple):
    """What the row keeps of an event; ordered by time, ties by id."""

    sent_at: int
    event_id: str
    item_id: str
    event_type: str
    event_value: float  # representable in float32, as the store keeps it


def session_event(event: Interaction) -> SessionEvent:
    value = array("f", [event.event_value])[0]
    return SessionEvent(event.sent_at, event.event_id, event.item_id, event.event_type, value)


def events_of(row: Row) -> list[SessionEvent]:
    """The events that a user_session row holds, oldest first."""
    columns = (row["sent_at"], row["event_ids"], row["item_ids"], row["event_types"], row["event_values"])
    return [SessionEvent(*event) for event in zip(*cast(Sequence[Sequence[object]], columns), strict=True)]


def absorb_events(row: Row, events: Iterable[Interaction]) -> Row:
    """The row after these events; the same whatever their order, repetition or batches.

    Two bodies under one event id: the smaller one (by time, then field by field) counts, in whichever order they come.
    """
    by_id: dict[str, SessionEvent] = {}
    acts = (session_event(event) for event in events if event.is_act)
    for event in [*events_of(row), *acts]:
        known = by_id.get(event.event_id)
        by_id[event.event_id] = event if known is None else min(known, event)
    ordered = sorted(by_id.values())
    removals = [event for event in ordered if event.event_type == "removal"]
    kept = sorted({*ordered[-SESSION_LENGTH:], *removals[-SESSION_LENGTH:]})
    last_word = {event.item_id: event.event_type for event in kept}
    return {
        "event_ids": [event.event_id for event in kept],
        "item_ids": [event.item_id for event in kept],
        "event_types": [event.event_type for event in kept],
        "sent_at": [event.sent_at for event in kept],
        "event_values": [event.event_value for event in kept],
        "removed_item_ids": sorted(item for item, event_type in last_word.items() if event_type == "removal"),
        "last_event_id": kept[-1].event_id if kept else "",
        "last_event_at": kept[-1].sent_at if kept else 0,
    }
