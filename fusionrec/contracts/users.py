"""GET /v1/users/{userId}/profile."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from fusionrec.contracts.base import Answer


class Interest(Answer):
    category: str
    weight: float = Field(description="share of the recency-weighted interactions")


class Activity(Answer):
    """Counts up to the last feature computation, times including live events."""

    n_events: int
    n_sessions: int
    n_events_1d: int
    n_events_7d: int
    n_events_30d: int
    first_event_at: datetime | None
    last_event_at: datetime | None
    hour_weights: tuple[float, ...] = Field(description="share of events in six blocks of four hours, UTC")
    weekday_weights: tuple[float, ...] = Field(description="share of events on each weekday, Monday first")


class Spending(Answer):
    """Money in hundredths of the shop's currency."""

    total_cents: int
    last_30_days_cents: int
    mean_price_cents: float
    price_band_weights: tuple[float, ...] = Field(description="share of purchases in each price band, cheapest first")


class RecentEvent(Answer):
    item_id: str
    event_type: str
    sent_at: datetime


class UserProfile(Answer):
    user_id: str
    interests: tuple[Interest, ...]
    activity: Activity
    spending: Spending
    recent_events: tuple[RecentEvent, ...] = Field(description="newest first, at most 20")
    removed_item_ids: tuple[str, ...] = Field(description="items that the user removed: no slate shows them")
    as_of_event_id: str | None
