"""Windows by time, sessions by silence, edges by cut-off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from fusionrec.errors import DataError

Shop = Any
DAY = timedelta(days=1)


def at(day: int, hour: int = 10, month: int = 3, second: int = 0) -> str:
    return f"2026-{month:02d}-{day:02d}T{hour:02d}:00:{second:02d}Z"


def view(user: str, item: str, when: str, session: str = "") -> str:
    return f"{user},{item},view,{when},,{session},,"


def test_the_windows_of_a_long_year_are_28_days(shop: Shop) -> None:
    cutoffs = shop.prepare(shop.events("u1,i1,view,2025-03-01T00:00:00Z,,,,")).cutoffs
    assert cutoffs.data_end - cutoffs.validation_end == cutoffs.validation_end - cutoffs.train_end == 28 * DAY


def test_shorter_data_gets_a_tenth_of_its_span(shop: Shop) -> None:
    dataset = shop.prepare(
        shop.events(view("u1", "i1", "2026-03-01T00:00:00Z"), view("u1", "i1", "2026-05-10T00:00:00Z"))
    )
    cutoffs = dataset.cutoffs
    assert cutoffs.data_end == datetime(2026, 5, 10, 0, 0, 1, tzinfo=UTC)  # just after the last event
    assert cutoffs.validation_end - cutoffs.train_end == pytest.approx(7 * DAY, abs=timedelta(seconds=1))


def test_given_lengths_count(shop: Shop) -> None:
    cutoffs = shop.prepare(shop.events(), test_days=2, validation_days=0.5).cutoffs
    assert cutoffs.data_end - cutoffs.validation_end == 2 * DAY
    assert cutoffs.validation_end - cutoffs.train_end == DAY / 2


def test_windows_that_leave_nothing_to_train_on_are_refused(shop: Shop) -> None:
    with pytest.raises(DataError, match="leave nothing to train on"):
        shop.prepare(shop.events(), test_days=40, validation_days=40)


def test_windows_share_no_event_and_lose_none(shop: Shop) -> None:
    dataset = shop.prepare(shop.events(), test_days=10, validation_days=10)
    train = dataset.events_between(None, "train_end")
    validation = dataset.events_between("train_end", "validation_end")
    test = dataset.events_between("validation_end", "data_end")
    assert min(table.num_rows for table in (train, validation, test)) > 0
    assert pa.concat_tables([train, validation, test]).num_rows == dataset.events.num_rows
    assert max(train["sent_at"].to_pylist()) < dataset.cutoffs.train_end <= min(validation["sent_at"].to_pylist())
    assert max(validation["sent_at"].to_pylist()) < dataset.cutoffs.validation_end <= min(test["sent_at"].to_pylist())
    assert max(test["sent_at"].to_pylist()) < dataset.cutoffs.data_end


def test_an_event_at_the_cut_off_belongs_to_the_later_window(shop: Shop) -> None:
    lines = [view("u1", "i1", at(1)), view("u1", "i2", "2026-03-09T10:00:01Z"), view("u1", "i3", at(10))]
    dataset = shop.prepare(shop.events(*lines, base=False), test_days=1, validation_days=1)
    assert dataset.events_between("validation_end", "data_end")["item_id"].to_pylist() == ["i2", "i3"]


def test_sessions_end_after_half_an_hour_of_silence_and_given_ones_stay(shop: Shop) -> None:
    lines = [
        view("u1", "i1", "2026-03-01T10:00:00Z"),
        view("u1", "i2", "2026-03-01T10:30:00Z"),  # exactly 30 minutes: the same visit
        view("u1", "i3", "2026-03-01T11:00:01Z"),  # a second longer: another
        view("u2", "i1", "2026-03-01T10:01:00Z", session="mine"),
        view("u2", "i2", "2026-03-05T10:01:00Z", session="mine"),
    ]
    dataset = shop.prepare(shop.events(*lines, base=False))
    assert dataset.events["session_id"].to_pylist() == ["u1-1", "u1-1", "u1-2", "mine", "mine"]
    assert dataset.counts["n_sessions"] == 3


def test_late_lines_are_sorted_by_time_and_ties_keep_their_order(shop: Shop) -> None:
    lines = [view("u1", "i9", at(9)), view("u1", "i5", at(5)), view("u1", "i4", at(5)), view("u1", "i1", at(1))]
    dataset = shop.prepare(shop.events(*lines, base=False))
    assert dataset.events["item_id"].to_pylist() == ["i1", "i5", "i4", "i9"]
    assert dataset.events["position"].to_pylist() == [0, 1, 2, 3]


def test_edges_as_of_a_cut_off_see_nothing_later_and_fade(shop: Shop) -> None:
    lines = [
        view("u1", "i1", "2025-12-01T10:00:00Z"),
        view("u1", "i1", "2026-01-10T10:00:00Z"),
        "u1,i2,removal,2026-01-10T10:00:00Z,,,,",
        view("u2", "i1", "2026-03-01T10:00:00Z"),
        view("u2", "i1", "2026-03-10T10:00:00Z"),
    ]
    dataset = shop.prepare(shop.events(*lines, base=False), test_days=5, validation_days=50)
    (edge,) = dataset.edges_at("train_end").to_pylist()  # 14 January: the removal is no interest, u2 is in the future
    assert (edge["user_id"], edge["item_id"], edge["n_events"]) == ("u1", "i1", 2)
    days = [
        (dataset.cutoffs.train_end - datetime(*day, 10, tzinfo=UTC)) / DAY for day in ((2025, 12, 1), (2026, 1, 10))
    ]
    assert edge["weight"] == pytest.approx(sum(0.5 ** (age / 90) for age in days), rel=1e-6)
    assert edge["last_event_at"] == datetime(2026, 1, 10, 10, tzinfo=UTC)
    counts = {c: [e["n_events"] for e in sorted(dataset.edges_at(c).to_pylist(), key=lambda e: e["user_id"])]
              for c in ("validation_end", "data_end")}  # fmt: skip
    assert counts == {"validation_end": [2, 1], "data_end": [2, 2]}
