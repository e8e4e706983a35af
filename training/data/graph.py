"""The user–item interaction graph: one weighted edge per pair, as of each cut-off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import ibis

from fusionrec.feature_spec import DAY_MS

HALF_LIFE_DAYS: Final = 90.0


def edges(events: Any, cutoffs: Sequence[datetime]) -> Any:
    """user_id, item_id, weight, n_events, last_event_at, event_timestamp: rows of all cut-offs, none sees later events.

    events: prepared events; cutoffs: aware datetimes
    weight: number of interactions, each halved for every 90 days of age at the cut-off; removals do not count
    """
    return ibis.union(*[edges_before(events, cutoff) for cutoff in cutoffs])


def edges_before(events: Any, cutoff: datetime) -> Any:
    past = events.filter((events.sent_at < cutoff) & (events.event_type != "removal"))
    cutoff_ms = int(cutoff.timestamp() * 1000)
    age_days = (cutoff_ms - past.sent_at.epoch_seconds() * 1000) / DAY_MS
    aged = past.mutate(decayed=ibis.literal(0.5) ** (age_days / HALF_LIFE_DAYS))
    return aged.group_by("user_id", "item_id").agg(
        weight=aged.decayed.sum().cast("float32"),
        n_events=aged.count(),
        last_event_at=aged.sent_at.max(),
        event_timestamp=ibis.literal(cutoff).cast("timestamp('UTC', 6)"),
    )
