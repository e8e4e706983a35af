"""Worked numbers for every feature of a shop small enough to count by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fusionrec.feature_spec import ITEM_ATTRIBUTES, ITEM_STATS, USER_PROFILE, USER_SESSION, VIEWS
from training.data.features.compute import arrow_schema, compute_view, rows_at_cutoffs

ITEMS = """itemId,name,category,department,brand,colour
cheap,Cheap tea,Tea,Food,Leaf,green
dear,Dear tea,Tea,Food,Leaf,
cup,Cup,Kitchen,Home,Clay,blue
new,New thing,Kitchen,Home,Clay,
"""
# The test window is the last day and the validation window the day before it: train_end is 8 June, 12:00:01.
EVENTS = [
    "ann,cheap,purchase,2026-04-20T09:00:00Z,1,,200,0",
    "ann,dear,purchase,2026-06-01T09:00:00Z,2,s1,500,100",
    "ann,cheap,view,2026-06-08T08:00:00Z,,,,",
    "ann,cup,removal,2026-06-08T08:10:00Z,,,,",
    "bob,cheap,purchase,2026-06-03T21:00:00Z,3,,220,0",
    "bob,cheap,purchase,2026-06-09T10:00:00Z,1,,999,0",  # after train_end
    "new-user,dear,purchase,2026-06-10T12:00:00Z,1,,510,0",  # the last event
]


@pytest.fixture(scope="module")
def dataset(make_shop: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    shop = make_shop(tmp_path_factory.mktemp("features"))
    prepared = shop.prepare(
        shop.events(*EVENTS, base=False), items=shop.write("items.csv", ITEMS), test_days=1, validation_days=1
    )
    for view in VIEWS:
        compute_view(prepared, view)
    return prepared


@pytest.fixture(scope="module")
def row(dataset: Any) -> Any:
    def find(view: Any, key: str, cutoff: str = "train_end") -> dict[str, Any]:
        rows = dataset.features(view.name).to_pylist()
        moment = dataset.cutoffs.at(cutoff)
        (found,) = [r for r in rows if r[view.join_key] == key and r["event_timestamp"] == moment]
        return found  # type: ignore[no-any-return]

    return find


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_the_cut_off_is_where_the_numbers_below_expect_it(dataset: Any) -> None:
    assert dataset.cutoffs.train_end == datetime(2026, 6, 8, 12, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_columns_are_those_of_the_spec(dataset: Any, view: Any) -> None:
    table = dataset.features(view.name)
    assert table.schema.equals(arrow_schema(view))
    assert not any(column.null_count for column in table.columns)
    assert view.push_only == (table.num_rows == 0)


def test_history_is_oldest_first_in_three_lists_of_equal_length(row: Any) -> None:
    profile = row(USER_PROFILE, "ann")
    assert profile["history_item_ids"] == ["cheap", "dear", "cheap", "cup"]
    assert profile["history_event_types"] == ["purchase", "purchase", "view", "removal"]
    assert profile["history_sent_at"] == [
        ms(t) for t in ("2026-04-20T09:00Z", "2026-06-01T09:00Z", "2026-06-08T08:00Z", "2026-06-08T08:10Z")
    ]


def test_times_are_whole_milliseconds_equal_to_those_of_live_events(shop: Any) -> None:
    """A profile's event and the same one in the session row are one event only if their times agree."""
    times = [f"2026-06-{8 + n:02d}T08:00:00.{fraction}Z" for n, fraction in enumerate(("500", "999600", "001499"))]
    dataset = shop.prepare(shop.events(*(f"zoe,i1,view,{time},,,," for time in times)))
    compute_view(dataset, USER_PROFILE)
    rows = dataset.features("user_profile").to_pylist()
    zoe = next(r for r in rows if r["user_id"] == "zoe" and r["event_timestamp"] == dataset.cutoffs.data_end)
    expected = [ms("2026-06-08T08:00Z") + 500, ms("2026-06-09T08:00Z") + 999, ms("2026-06-10T08:00Z") + 1]
    assert zoe["history_sent_at"] == expected
    assert zoe["last_event_at"] == expected[-1]
    sent_at = dataset.events.filter(dataset.events["user_id"].to_numpy() == "zoe")["sent_at"].to_pylist()
    assert [moment.microsecond for moment in sent_at] == [500_000, 999_000, 1_000]


def test_a_long_history_keeps_its_newest_events(dataset: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("training.data.features.user_profile.HISTORY_LENGTH", 2)
    rows = {row["user_id"]: row for row in rows_at_cutoffs(dataset, USER_PROFILE, tmp_path).to_pylist()}  # last cut-off
    assert rows["ann"]["history_item_ids"] == ["cheap", "cup"]
    assert rows["ann"]["history_event_types"] == ["view", "removal"]
    assert rows["ann"]["n_events"] == 4


def test_recency_frequency_and_money(row: Any) -> None:
    profile = row(USER_PROFILE, "ann")
    assert [profile[f"n_events{w}"] for w in ("", "_1d", "_7d", "_30d")] == [4, 2, 2, 3]
    assert profile["n_sessions"] == 3
    assert profile["first_event_at"] == ms("2026-04-20T09:00Z")
    assert profile["last_event_at"] == ms("2026-06-08T08:10Z")
    assert (profile["monetary_cents"], profile["monetary_30d_cents"]) == (200 + 2 * 500, 2 * 500)
    assert profile["mean_price_cents"] == 350


def test_affinities_to_categories_and_price_bands(row: Any) -> None:
    profile = row(USER_PROFILE, "ann")
    assert profile["category_names"] == ["Tea"]  # the removed cup is no interest
    assert profile["category_weights"] == [1.0]
    # Food by last price: cheap 220 (Bob's), dear 500, so bands 1 and 2; Ann bought one of each.
    assert profile["price_band_weights"] == [0.5, 0.5, 0, 0, 0]


def test_time_of_day_and_weekday(row: Any) -> None:
    profile = row(USER_PROFILE, "ann")
    assert profile["hour_weights"] == [0, 0, 1.0, 0, 0, 0]  # all between 8 and 12
    assert profile["weekday_weights"] == [1.0, 0, 0, 0, 0, 0, 0]  # four Mondays
    assert row(USER_PROFILE, "bob")["hour_weights"] == [0, 0, 0, 0, 0, 1.0]
    assert row(USER_PROFILE, "bob")["weekday_weights"] == [0, 0, 1.0, 0, 0, 0, 0]


def test_shares_fade_with_age(row: Any) -> None:
    profile = row(USER_PROFILE, "bob", "data_end")
    assert profile["category_names"] == ["Tea"]
    whole = row(ITEM_STATS, "cheap", "data_end")["popularity"]
    end = datetime(2026, 6, 10, 12, 0, 1, tzinfo=UTC)
    times = ("2026-04-20T09:00Z", "2026-06-08T08:00Z", "2026-06-03T21:00Z", "2026-06-09T10:00Z")
    ages = [(end - datetime.fromisoformat(t)) / timedelta(days=1) for t in times]
    assert whole == pytest.approx(sum(0.5 ** (age / 30) for age in ages), rel=1e-6)


def test_item_popularity_trend_price_discount_and_age(row: Any) -> None:
    cheap, dear = row(ITEM_STATS, "cheap"), row(ITEM_STATS, "dear")
    assert [cheap[name] for name in ("n_events", "n_users", "n_events_1d", "n_events_7d", "n_events_30d")] == [
        3,
        2,
        1,
        2,
        2,
    ]
    assert cheap["trend"] == pytest.approx(math.log(((2 + 1) / 7) / ((2 + 30 / 7) / 30)), rel=1e-6)
    assert cheap["trend"] > 0 > dear["trend"]
    assert (cheap["price_cents"], cheap["mean_price_cents"], cheap["price_band"]) == (220, 210, 1)
    assert (dear["price_cents"], dear["price_band"], dear["discount_share"]) == (500, 2, 1.0)
    assert cheap["discount_share"] == 0
    assert (cheap["first_event_at"], cheap["last_event_at"]) == (ms("2026-04-20T09:00Z"), ms("2026-06-08T08:00Z"))


def test_the_future_is_not_seen(dataset: Any, row: Any) -> None:
    assert row(ITEM_STATS, "cheap")["price_cents"] == 220
    assert row(ITEM_STATS, "cheap", "validation_end")["price_cents"] == 999
    users = {cutoff: set() for cutoff in dataset.cutoffs.all()}  # type: dict[datetime, set[str]]
    for profile in dataset.features(USER_PROFILE.name).to_pylist():
        users[profile["event_timestamp"]].add(profile["user_id"])
    assert [sorted(found) for found in users.values()] == [["ann", "bob"], ["ann", "bob"], ["ann", "bob", "new-user"]]


def test_attributes_are_those_of_the_items_file_also_for_unsold_items(row: Any) -> None:
    assert row(ITEM_ATTRIBUTES, "cup")["attributes"] == ["colour=blue"]
    assert row(ITEM_ATTRIBUTES, "new")["name"] == "New thing"
    assert row(ITEM_ATTRIBUTES, "new")["description"] == ""


def test_an_item_that_was_only_removed_has_no_statistics(dataset: Any) -> None:
    assert "cup" not in dataset.features(ITEM_STATS.name)["item_id"].to_pylist()


def test_made_up_times_give_no_hours_and_weekdays(tmp_path: Any) -> None:
    from training.data.prepare import Options, prepare  # noqa: PLC0415
    from training.data.sources import amazon_sequences  # noqa: PLC0415
    from training.data.sources.frame import Inputs  # noqa: PLC0415

    path = tmp_path / "toys.txt"
    path.write_text("1 5 6 7 8\n2 6 8 9\n")
    prepared, _ = prepare(amazon_sequences.SOURCE, Inputs(tmp_path, path), "toys", Options(), lambda _: None)
    compute_view(prepared, USER_PROFILE)
    for profile in prepared.features(USER_PROFILE.name).to_pylist():
        assert profile["hour_weights"] == profile["weekday_weights"] == profile["price_band_weights"] == []


def test_the_session_view_is_left_to_pushes(dataset: Any) -> None:
    assert dataset.features(USER_SESSION.name).num_rows == 0
