"""Ids that the API refuses do not come in by files either: each such row is rejected, and the reason told."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from fusionrec.contracts.base import ItemId, UserId

Shop = Any
BLANK = {" ", "\u00a0", "\u3000 ", "\u200d", "\u180e\ufe0f", "\u2800", "\u061c", "\U000e0100"}
UNFIT = [0x00, 0x01, 0x09, 0x0A, 0x0D, 0x1F, 0x7F, 0x85, 0x9F, *range(0x2028, 0x202F), *range(0x2066, 0x2070)]
UNFIT += [0xAD, 0x200B, *range(0x2060, 0x2065), 0x3164, 0xFEFF, 0xFFA0, 0xFFF9, 0xFFFB]
FIT = [0x20, 0x7E, 0xA0, 0xE9, 0x0627, 0x200E, 0x2027, 0x202F, 0x2065, 0x180E, 0x200C, 0x200D, 0xFE0F, 0x3042, 0x1F375]


@pytest.mark.parametrize(("column", "rule"), [("userId", "unfit-user"), ("itemId", "unfit-item")])
def test_files_and_the_api_refuse_the_same_ids(shop: Shop, column: str, rule: str) -> None:
    ids = {f"a{chr(code)}b" for code in [*UNFIT, *FIT]} | {"l" * 256, "l" * 257, "é" * 256, "session:s"} | BLANK
    refused = {each for each in ids if not accepted_by_the_api(each, UserId if column == "userId" else ItemId)}
    reserved = {"session:s"} if column == "userId" else set()
    assert refused == {f"a{chr(code)}b" for code in UNFIT} | {"l" * 257} | BLANK | reserved
    rows = [{"userId": "u1", "itemId": "i1", "eventType": "view", "sentAt": "2026-03-05", column: each} for each in ids]
    path = shop.folder / "events.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    dataset = shop.prepare(path)
    quarantined = shop.quarantine(dataset)
    blank = "missing-user" if column == "userId" else "missing-item"
    assert {(row["rule"], row["field"]) for row in quarantined} == {(rule, column), (blank, column)}
    assert all("take it out" in row["reason"] for row in quarantined if row["rule"] == rule)
    kept = dataset.events["user_id" if column == "userId" else "item_id"].to_pylist()
    assert set(kept) == ids - refused


def accepted_by_the_api(each: str, kind: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(each)
    except ValidationError:
        return False
    return True


def test_a_line_of_a_csv_file_is_named(rejected: Any) -> None:
    found = rejected("u\u202e1,i1,view,2026-03-05T10:00:00Z,,,,", "u1,i\x001,view,2026-03-05T10:00:00Z,,,,")
    assert found == [("unfit-user", 62, "userId", "u\u202e1"), ("unfit-item", 63, "itemId", "i\x001")]


def test_rows_of_items_and_users_are_rejected_too(shop: Shop) -> None:
    items = shop.write("items.csv", f"itemId,name\ni0,Tea\ni\u20661,Cup\n{'l' * 257},Jar\n")
    users = shop.write("users.csv", "userId,country\nu\x7f0,FR\nu1,DE\nsession:s,DE\n")
    dataset = shop.prepare(shop.events(), items=items, users=users)
    rows = [(row["file"], int(row["line"]), row["rule"], row["value"]) for row in shop.quarantine(dataset)]
    assert rows == [
        ("items.csv", 3, "unfit-itemId", "i\u20661"),
        ("items.csv", 4, "unfit-itemId", "l" * 257),
        ("users.csv", 2, "unfit-userId", "u\x7f0"),
        ("users.csv", 4, "unfit-userId", "session:s"),
    ]
    assert dataset.items["item_id"].to_pylist() == ["i0", "i1", "i2", "i3", "i4"]
