"""Sessions and order: which events belong to one visit, and which came first."""

from __future__ import annotations

from typing import Any, Final

import ibis

SESSION_GAP_S: Final = 30 * 60  # a longer silence begins a new session


def sessionise(events: Any, has_times: bool) -> Any:
    """The prepared events (columns of EVENTS_SCHEMA), sorted by user and position, oldest first.

    Times are cut to whole milliseconds, as live events are. A session id that the source gave stays; otherwise a
    session ends after 30 minutes without an event. Without times all events of a user are one session.
    """
    first_to_last = ibis.window(group_by="user_id", order_by=["sent_at", "position", "file", "line"])
    placed = events.mutate(place=ibis.row_number().over(first_to_last))
    in_order = ibis.window(group_by="user_id", order_by="place")
    seconds = placed.sent_at.epoch_seconds()
    silence = (seconds - seconds.lag().over(in_order)).fill_null(0)
    begins = (silence > SESSION_GAP_S) if has_times else ibis.literal(False)
    placed = placed.mutate(begins=begins.cast("int64"))
    number = placed.begins.sum().over(ibis.cumulative_window(group_by="user_id", order_by="place")) + 1
    own = placed.user_id + "-" + number.cast("string")
    return placed.select(
        "user_id",
        "item_id",
        "event_type",
        sent_at=placed.sent_at.truncate("ms").cast("timestamp('UTC', 6)"),
        event_value=placed.event_value.fill_null(1.0),
        price_cents=placed.price_cents,
        discount_cents=placed.discount_cents,
        session_id=placed.session_id.fill_null(own),
        position=placed.place,
    ).order_by("user_id", "position")
