"""Every rule rejects what it should, names the line, and keeps the rest."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from training.data.sources.tabular import read_csv

FIRST = 62  # the line after the base events


def test_nothing_of_an_ordinary_shop_is_rejected(rejected: Any) -> None:
    assert rejected() == []


BAD = [
    (",i1,view,2026-03-05T10:00:00Z,,,,", "missing-user", "userId", ""),
    ("u1,,view,2026-03-05T10:00:00Z,,,,", "missing-item", "itemId", ""),
    ("u1,i1,view,,,,,", "missing-time", "sentAt", ""),
    ("u1,i1,gaze,2026-03-05T10:00:00Z,,,,", "unknown-event-type", "eventType", "gaze"),
    ("u1,i1,,2026-03-05T10:00:00Z,,,,", "unknown-event-type", "eventType", ""),
    ("u1,i1,view,soon,,,,", "unreadable-value", "sentAt", "soon"),
    ("u1,i1,view,2026-02-30T10:00:00Z,,,,", "unreadable-value", "sentAt", "2026-02-30T10:00:00Z"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,two,,,", "unreadable-value", "eventValue", "two"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,1,,4.99,", "unreadable-value", "priceCents", "4.99"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,1,,499,a", "unreadable-value", "discountCents", "a"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,nan,,499,", "impossible-value", "eventValue", "nan"),
    ("u1,i1,view,1970-01-01T00:00:00Z,,,,", "impossible-date", "sentAt", "1970-01-01 00:00:00"),
    ("u1,i1,view,2999-01-01T00:00:00Z,,,,", "future-date", "sentAt", "2999-01-01 00:00:00"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,-1,,499,", "return", "eventValue", "-1.0"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,0,,499,", "zero-quantity", "eventValue", "0.0"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,1,,-5,", "negative-price", "priceCents", "-5"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,1,,5,-5", "negative-discount", "discountCents", "-5"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,1,,0,", "zero-price", "priceCents", "0"),
    ("u1,i1,purchase,2026-03-05T10:00:00Z,65,,110,", "quantity-outlier", "eventValue", "65.0"),
    ("u1,i2,purchase,2026-03-05T10:00:00Z,1,,9000,", "price-outlier", "priceCents", "9000"),
    ("u1,i3,purchase,2026-03-05T10:00:00Z,1,,1,", "price-outlier", "priceCents", "1"),
    ("u1,i1,view,2026-03-05T10:00:00Z", "malformed-line", "", "u1,i1,view,2026-03-05T10:00:00Z"),
]  # fmt: skip
UNUSUAL = [
    "u1,i1,purchase,2026-03-05T10:00:00Z,64,,110,",  # the limit itself
    "u1,i2,purchase,2026-03-05T10:00:00Z,1,,0,500",  # free, and a discount says why
    "u1,i3,purchase,2026-03-05T10:00:00Z,1,,6000,",  # dear, within 64 times the median
    "u1,i1,view,2026-03-05T10:00:00Z,-3,,,",  # only purchases have quantities
    "u1,i1,rating,1772704800,4.5,,,",  # seconds since 1970
    "u1,i1,removal,1772704800123,,,,",  # milliseconds
    "u1,i1,cart,2026-03-05 11:00:00+01:00,,,,",
]


@pytest.fixture(scope="module")
def by_line(tmp_path_factory: pytest.TempPathFactory, make_shop: Any) -> dict[int, list[dict[str, str]]]:
    """Quarantined rows of one file that holds every bad line, by line number."""
    shop = make_shop(tmp_path_factory.mktemp("bad"))
    dataset = shop.prepare(shop.events(*(line for line, *_ in BAD)))
    rows: dict[int, list[dict[str, str]]] = {}
    for row in shop.quarantine(dataset):
        rows.setdefault(int(row["line"]), []).append(row)
    return rows


@pytest.mark.parametrize("place", range(len(BAD)), ids=[f"{rule}-{field}" for _, rule, field, _ in BAD])
def test_a_bad_line_is_named_once_with_rule_field_and_value(by_line: Any, place: int) -> None:
    _, rule, field, value = BAD[place]
    (row,) = by_line[FIRST + place]
    assert (row["rule"], row["field"], row["value"]) == (rule, field, value)
    assert row["file"] == "events.csv"
    assert row["reason"]


def test_no_other_line_is_rejected(by_line: Any) -> None:
    assert sorted(by_line) == list(range(FIRST, FIRST + len(BAD)))


def test_what_is_unusual_but_possible_stays(rejected: Any) -> None:
    assert rejected(*UNUSUAL) == []


def test_blank_and_malformed_lines_do_not_shift_the_numbers_of_later_ones(rejected: Any) -> None:
    found = rejected("", "u1,i1", "u1,i1,gaze,2026-03-05T10:00:00Z,,,,")
    assert [(rule, line) for rule, line, _, _ in found] == [
        ("malformed-line", FIRST),
        ("malformed-line", FIRST + 1),
        ("unknown-event-type", FIRST + 2),
    ]


def test_exact_and_near_duplicates(rejected: Any) -> None:
    line = "u1,i1,click,2026-03-05T10:00:00Z,,,,"
    found = rejected(
        line,
        line,
        "u1,i1,click,2026-03-05T10:00:02Z,,,,",  # a double click
        "u1,i1,click,2026-03-05T10:00:06Z,,,,",  # once more, on purpose
        "u1,i1,view,2026-03-05T10:00:00Z,,,,",  # another type
        "u2,i1,click,2026-03-05T10:00:01Z,,,,",  # another user
    )
    assert [(rule, line) for rule, line, _, _ in found] == [("duplicate", FIRST + 1), ("near-duplicate", FIRST + 2)]


def test_a_user_who_does_too_much_a_day_is_a_bot(rejected: Any) -> None:
    # Everyone else has one event a day: more than 64 is too many, 64 is not.
    busy = [f"bot,i{n % 5},cart,2026-03-05T{n % 24:02d}:{n // 24:02d}:00Z,,,," for n in range(65)]
    assert {(rule, value) for rule, _, _, value in rejected(*busy)} == {("bot-volume", "bot")}
    assert rejected(*busy[:64]) == []


def test_a_user_who_clicks_every_second_is_a_bot(rejected: Any) -> None:
    def clicks(user: str, step_s: int) -> list[str]:
        """50 a day, so that volume alone does not tell."""
        noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
        times = [noon + timedelta(days=n // 50, seconds=n % 50 * step_s) for n in range(210)]
        return [f"{user},i{n % 5},click,{moment.isoformat()},,,," for n, moment in enumerate(times)]

    found = rejected(*clicks("bot", 1), *clicks("eager", 2))
    assert {(rule, value) for rule, _, _, value in found} == {("bot-speed", "bot")}
    assert len(found) == 210


def test_rare_items_are_counted_in_users_before_the_test_window(rejected: Any) -> None:
    # i9 has two early buyers and three in the test window (the last days of April): the late ones must not count.
    early = [f"u{n},i9,purchase,2026-03-05T1{n}:00:00Z,1,,150," for n in range(2)]
    late = [f"u{n},i9,purchase,2026-04-28T1{n}:00:00Z,1,,150," for n in range(2, 5)]
    assert {rule for rule, *_ in rejected(*early, *late, min_item_users=3)} == {"rare-item"}
    assert rejected(*early, *late, min_item_users=2) == []


def test_rare_users_are_counted_before_the_test_window_and_new_ones_stay(rejected: Any) -> None:
    lines = [
        "seldom,i1,purchase,2026-03-05T10:00:00Z,1,,150,",
        "seldom,i2,purchase,2026-04-28T10:00:00Z,1,,150,",
        "new,i1,purchase,2026-04-28T10:00:00Z,1,,150,",
    ]
    assert {(rule, value) for rule, _, _, value in rejected(*lines, min_user_events=2)} == {("rare-user", "seldom")}


def test_limits_are_not_learned_from_the_test_window(rejected: Any) -> None:
    # Large orders in the test window would raise the limit for all if they counted.
    large = [
        f"u{n % 6},i{n % 5},purchase,2026-04-{27 + n % 2}T{n % 24:02d}:{n // 24:02d}:00Z,60,,150," for n in range(100)
    ]
    found = rejected(*large, "u1,i1,purchase,2026-03-05T09:00:00Z,65,,110,", test_days=4, validation_days=4)
    assert ("quantity-outlier", FIRST + 100, "eventValue", "65.0") in found


def test_every_line_is_either_kept_or_in_the_quarantine_and_the_report_counts_both(shop: Any) -> None:
    bad = ["u1,i1", "u1,i1,gaze,2026-03-05T10:00:00Z,,,,", "u1,i1,view,soon,,,,", "u1,i1,view,2026-03-05T10:00:00Z,,,,"]
    dataset = shop.prepare(shop.events(*bad, bad[-1]))
    report = json.loads((dataset.folder / "report.json").read_text())
    assert report["rules"]["malformed-line"] == report["rules"]["duplicate"] == 1
    assert report["before"]["n_events"] == 64  # a malformed line never was an event
    assert dataset.counts["n_events"] == dataset.events.num_rows == 61
    assert len(shop.quarantine(dataset)) == dataset.counts["n_rejected"] == sum(report["rules"].values()) == 4
    assert "| malformed-line | 1 |" in (dataset.folder / "report.md").read_text()


def test_lines_that_an_open_quote_swallowed_are_told(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text('userId,itemId,eventType\nu1,i1,view\nu2,"i2,view\nu3,i3,view\n')
    kept, rejected = read_csv(path)
    assert kept["userId"].to_pylist() == ["u1"]
    (row,) = rejected.to_pylist()
    assert row["line"] == 3
    assert "in 2 lines, which a quote holds together; close it" in row["reason"]
