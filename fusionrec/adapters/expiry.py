"""When a stored row is too old to be read. Feast's own online read does not ask, so every reader does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fusionrec.feature_spec import FeatureView


def is_expired(view: FeatureView, event_at: int, now: datetime) -> bool:
    """event_at: ms since 1970 UTC of the row."""
    age = now - datetime.fromtimestamp(event_at / 1000, UTC)
    return view.max_age_days > 0 and age > timedelta(days=view.max_age_days)
