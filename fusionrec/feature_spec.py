"""The features: named once, here, for Feast, training, the bundle and the request path.

Times are int64 milliseconds since 1970 UTC. Money is int64 hundredths of the shop's currency.
Lists that describe one history have equal lengths and are ordered oldest first.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final, Literal

DType = Literal["int64", "float32", "string", "int64_list", "float32_list", "string_list"]
Value = int | float | str | list[int] | list[float] | list[str]

PROJECT: Final = "fusionrec"
HISTORY_LENGTH: Final = 200  # events of long-term history kept in user_profile
SESSION_LENGTH: Final = 50  # newest events kept in user_session
DAY_MS: Final = 86_400_000

# The order is the code: 0 is padding in every model input.
EVENT_TYPES: Final = ("view", "click", "cart", "purchase", "rating", "removal")
EVENT_CODES: Final = {name: code for code, name in enumerate(EVENT_TYPES, start=1)}


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a view, and what stands in for it when the row is missing or too old."""

    name: str
    dtype: DType
    about: str

    @property
    def default(self) -> Value:
        if self.dtype.endswith("_list"):
            return []
        return "" if self.dtype == "string" else 0 if self.dtype == "int64" else 0.0


@dataclass(frozen=True, slots=True)
class FeatureView:
    """A group of features of one entity that are written together."""

    name: str
    entity: Literal["user", "item"]
    max_age_days: int  # older rows read as missing; 0 = never too old
    push_only: bool
    features: tuple[Feature, ...]

    @property
    def join_key(self) -> str:
        return f"{self.entity}_id"


USER_PROFILE: Final = FeatureView(
    name="user_profile",
    entity="user",
    max_age_days=400,
    push_only=False,
    features=(
        Feature("history_item_ids", "string_list", "the last events before the cut-off, oldest first"),
        Feature("history_event_types", "string_list", "their types"),
        Feature("history_sent_at", "int64_list", "their times"),
        Feature("n_events", "int64", "events ever"),
        Feature("n_sessions", "int64", "sessions ever"),
        Feature("first_event_at", "int64", "time of the first event"),
        Feature("last_event_at", "int64", "time of the last event"),
        Feature("n_events_1d", "int64", "events in the last day before the cut-off"),
        Feature("n_events_7d", "int64", "events in the last 7 days"),
        Feature("n_events_30d", "int64", "events in the last 30 days"),
        Feature("monetary_30d_cents", "int64", "money spent in the last 30 days"),
        Feature("monetary_cents", "int64", "money spent ever"),
        Feature("mean_price_cents", "float32", "mean unit price of what was bought"),
        Feature("price_band_weights", "float32_list", "share of purchases in each price band, cheapest first"),
        Feature("category_names", "string_list", "the categories with the greatest affinity, greatest first"),
        Feature("category_weights", "float32_list", "their shares of the recency-weighted interactions"),
        Feature("hour_weights", "float32_list", "share of events in each of six blocks of four hours, UTC"),
        Feature("weekday_weights", "float32_list", "share of events on each weekday, Monday first"),
    ),
)

USER_SESSION: Final = FeatureView(
    name="user_session",
    entity="user",
    max_age_days=30,
    push_only=True,
    features=(
        Feature("event_ids", "string_list", "ids of the newest events, oldest first"),
        Feature("item_ids", "string_list", "their items"),
        Feature("event_types", "string_list", "their types"),
        Feature("sent_at", "int64_list", "their times"),
        Feature("event_values", "float32_list", "their values (quantity, rating), 1 when none was sent"),
        Feature("removed_item_ids", "string_list", "items whose last word is a removal"),
        Feature("last_event_id", "string", "id of the newest event"),
        Feature("last_event_at", "int64", "time of the newest event"),
    ),
)

ITEM_ATTRIBUTES: Final = FeatureView(
    name="item_attributes",
    entity="item",
    max_age_days=0,
    push_only=False,
    features=(
        Feature("name", "string", "what a shopper reads"),
        Feature("category", "string", "the finer category, the one shown"),
        Feature("department", "string", "the coarser category"),
        Feature("brand", "string", "brand or maker"),
        Feature("description", "string", "text for content models"),
        Feature("attributes", "string_list", "further `name=value` pairs"),
    ),
)

ITEM_STATS: Final = FeatureView(
    name="item_stats",
    entity="item",
    max_age_days=0,
    push_only=False,
    features=(
        Feature("n_events", "int64", "interactions ever"),
        Feature("n_users", "int64", "users who interacted with it, ever"),
        Feature("n_events_1d", "int64", "interactions in the last day before the cut-off"),
        Feature("n_events_7d", "int64", "interactions in the last 7 days"),
        Feature("n_events_30d", "int64", "interactions in the last 30 days"),
        Feature("popularity", "float32", "time-decayed interactions, half-life 30 days"),
        Feature("trend", "float32", "log ratio of the daily rate in the last 7 days to that in the last 30"),
        Feature("price_cents", "int64", "the last price seen; 0 = unknown"),
        Feature("mean_price_cents", "float32", "mean price paid"),
        Feature("price_band", "int64", "price quantile within its department, 1 cheapest to 5; 0 = unknown"),
        Feature("discount_share", "float32", "share of purchases sold below the shelf price"),
        Feature("first_event_at", "int64", "time of its first interaction"),
        Feature("last_event_at", "int64", "time of its last interaction"),
    ),
)

VIEWS: Final = (USER_PROFILE, USER_SESSION, ITEM_ATTRIBUTES, ITEM_STATS)

# A feature service is a model's contract; a new set of inputs is a new version, never an edit.
FEATURE_SERVICES: Final[dict[str, tuple[FeatureView, ...]]] = {
    "fused_ranker_v1": (USER_PROFILE, USER_SESSION),
    "catalogue_v1": (ITEM_ATTRIBUTES, ITEM_STATS),
}


def spec_hash(service: str) -> str:
    """Fingerprint (sha256, first 16 hex digits) of all that a model built on this service relies on."""
    views = [
        [view.name, view.join_key, [[f.name, f.dtype] for f in view.features]] for view in FEATURE_SERVICES[service]
    ]
    text = json.dumps([views, list(EVENT_TYPES), HISTORY_LENGTH, SESSION_LENGTH])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
