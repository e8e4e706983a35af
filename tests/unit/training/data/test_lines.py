"""The line that a report names is the line that an editor shows, whatever quoted values hold before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.data.sources.tabular import read_csv

Shop = Any
BAD = "u1,i1,gaze,2026-03-05T10:00:00Z,,,,"  # no such event type
BROKEN = 'u1,"i\n1",view,2026-03-05T10:00:00Z,,,,'  # one record in two lines


@pytest.mark.parametrize(
    ("before", "n_lines"),
    [
        (BROKEN, 2),
        ('u1,"i\n\n1",view,2026-03-05T10:00:00Z,"\n",,,', 4),
        ('u1,"i\n1",view', 2),  # malformed, over two lines
        ("", 1),
        (BROKEN + "\n\n" + BROKEN, 5),
    ],
    ids=["broken", "in two values", "malformed", "blank", "with a blank line between"],
)
def test_lines_after_a_quoted_line_break_keep_their_numbers(shop: Shop, before: str, n_lines: int) -> None:
    path = shop.events(before, BAD)
    found = {row["rule"]: int(row["line"]) for row in shop.quarantine(shop.prepare(path))}
    assert path.read_text().splitlines()[61 + n_lines] == BAD
    assert found["unknown-event-type"] == 62 + n_lines


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_break_counts_once(tmp_path: Path, line_break: str) -> None:
    path = tmp_path / "items.csv"
    rows = ["itemId,name", 'i1,"Tea', "", 'green"', "i2,Cup", 'i3,"a', 'b",c', "i4,Pot"]
    path.write_bytes(line_break.join([*rows, ""]).encode())
    kept, rejected = read_csv(path)
    assert dict(zip(kept["itemId"].to_pylist(), kept["line"].to_pylist(), strict=True)) == {"i1": 2, "i2": 5, "i4": 8}
    (row,) = rejected.to_pylist()
    assert row["line"] == 6
    assert "in 2 lines, which a quote holds together" in row["reason"]


def test_a_header_over_two_lines_moves_all_that_follow(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('itemId,"name\nof it"\ni1,Tea\n\ni2,Cup\n')
    kept, rejected = read_csv(path)
    assert kept["line"].to_pylist() == [3, 5]
    assert rejected["line"].to_pylist() == [4]
