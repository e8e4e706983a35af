"""Whatever happens at or after a cut-off, the features as of that cut-off stay the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.data.dataset import EVENTS_SCHEMA, ITEMS_SCHEMA
from training.data.features.common import Shop
from training.data.features.compute import EXPRESSIONS

CUTOFF = datetime(2026, 6, 1, tzinfo=UTC)
ITEMS = [f"i{n}" for n in range(4)]

event = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u1", "u2", "u3"]),
        "item_id": st.sampled_from(ITEMS),
        "event_type": st.sampled_from(["view", "purchase", "removal", "rating"]),
        "event_value": st.sampled_from([1.0, 2.0]),
        "price_cents": st.one_of(st.none(), st.integers(0, 500)),
        "discount_cents": st.one_of(st.none(), st.integers(0, 50)),
        "session_id": st.sampled_from(["s1", "s2"]),
    }
)
seconds_before = st.integers(1, 90 * 86_400)
seconds_after = st.integers(0, 30 * 86_400)  # 0: at the cut-off itself


def shop_of(con: Any, events: list[dict[str, Any]]) -> Shop:
    """The events in order of time, positions counted within each user."""
    rows, seen = [], dict.fromkeys(["u1", "u2", "u3"], 0)
    for row in sorted(events, key=lambda row: row["sent_at"]):
        rows.append(row | {"position": seen[row["user_id"]]})
        seen[row["user_id"]] += 1
    items = [dict.fromkeys(ITEMS_SCHEMA.names, "x") | {"item_id": item, "attributes": []} for item in ITEMS]
    return Shop(
        ibis.memtable(pa.Table.from_pylist(rows, schema=EVENTS_SCHEMA)),
        ibis.memtable(pa.Table.from_pylist(items, schema=ITEMS_SCHEMA)),
    )


@pytest.fixture(scope="module")
def con() -> Any:
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone = 'UTC'")
    return connection


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    past=st.lists(st.tuples(event, seconds_before), min_size=1, max_size=12),
    future=st.lists(st.tuples(event, seconds_after), min_size=1, max_size=6),
)
def test_the_future_changes_nothing(con: Any, past: list[Any], future: list[Any]) -> None:
    before = [row | {"sent_at": CUTOFF - timedelta(seconds=s)} for row, s in past]
    after = [row | {"sent_at": CUTOFF + timedelta(seconds=s)} for row, s in future]
    for name, expression in EXPRESSIONS.items():
        key = "item_id" if name.startswith("item") else "user_id"
        known = con.to_pyarrow(expression(shop_of(con, before), CUTOFF).order_by(key))
        told = con.to_pyarrow(expression(shop_of(con, before + after), CUTOFF).order_by(key))
        assert told == known, name
