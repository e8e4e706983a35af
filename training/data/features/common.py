"""What the views share: the past, ages, conditional sums, and the columns that the spec asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import ibis

from fusionrec.feature_spec import DAY_MS, DType, FeatureView

IBIS_TYPES: Final[dict[DType, str]] = {
    "int64": "int64",
    "float32": "float32",
    "string": "string",
    "int64_list": "array<int64>",
    "float32_list": "array<float32>",
    "string_list": "array<string>",
}


@dataclass(frozen=True, slots=True)
class Shop:
    """Prepared tables as Ibis tables of any backend. events: EVENTS_SCHEMA; items: ITEMS_SCHEMA."""

    events: Any
    items: Any
    has_times: bool = True


def before(events: Any, cutoff: datetime) -> Any:
    """The events that a feature may see, with `sent_ms` (int64 ms), `age_days` at the cut-off (float64, > 0)."""
    past = events.filter(events.sent_at < cutoff)
    seconds = past.sent_at.truncate("s").epoch_seconds().cast("int64")  # DuckDB's epoch has the fraction, others not
    sent_ms = seconds * 1000 + past.sent_at.millisecond()
    return past.mutate(sent_ms=sent_ms, age_days=(to_ms(cutoff) - sent_ms) / DAY_MS)


def to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def count_where(condition: Any) -> Any:
    """How many rows; 0, not null, for none."""
    return condition.cast("int64").sum().fill_null(0)


def in_last(events: Any, days: int) -> Any:
    return count_where(events.age_days <= days)


def shares(conditions: list[Any]) -> Any:
    """The share of rows for which each condition holds, as one array; empty when none holds for any row."""
    counts = [count_where(condition.fill_null(False)) for condition in conditions]
    total = sum(counts[1:], counts[0])
    return ibis.ifelse(total > 0, ibis.array([count / total for count in counts]), [])


def half_life(age_days: Any, days: float) -> Any:
    return ibis.literal(0.5) ** (age_days / days)


def as_view(table: Any, view: FeatureView, cutoff: datetime) -> Any:
    """join key, event_timestamp and the view's features, typed and ordered as in the spec; defaults for nulls."""
    columns = {view.join_key: table[view.join_key]}
    columns["event_timestamp"] = ibis.literal(cutoff).cast("timestamp('UTC', 6)")
    for feature in view.features:
        dtype = IBIS_TYPES[feature.dtype]
        columns[feature.name] = table[feature.name].cast(dtype).fill_null(ibis.literal(feature.default, type=dtype))
    return table.select(**columns)
