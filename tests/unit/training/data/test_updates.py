from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from fusionrec.adapters.item_objects import FolderObjects
from fusionrec.item_log import ItemLog, ItemUpdate, segment
from training.cli import app
from training.data.dataset import ITEMS_SCHEMA
from training.data.sync import Progress
from training.data.updates import FOLDER, held, read_updates, with_updates

KNOWN = {
    "item_id": "b", "name": "bread", "category": "bakery", "department": "", "brand": "own", "description": "",
    "attributes": ["size=1"],
}  # fmt: skip


@pytest.fixture
def told(tmp_path: Path) -> ItemLog:
    log = ItemLog(FolderObjects(tmp_path / FOLDER))
    log.append(ItemUpdate("b", 5, {"name": "rye bread", "price_cents": 3}))
    log.append(ItemUpdate("a", 5, {"name": "apple", "attributes": ("kind=fruit",), "available": False}))
    log.append(ItemUpdate("c", 5, {"price_cents": 9}))  # nothing that the catalogue keeps
    return read_updates(tmp_path)


def test_a_data_set_without_a_log_has_no_updates(tmp_path: Path) -> None:
    assert (read_updates(tmp_path).through, read_updates(tmp_path).items) == (0, {})


def test_attributes_are_taken_over_and_items_added(told: ItemLog) -> None:
    items = pa.Table.from_pylist([KNOWN], schema=ITEMS_SCHEMA)
    assert told.through == 3
    rows = with_updates(items, told.items, add=True).to_pylist()
    empty = {"category": "", "department": "", "brand": "", "description": ""}
    assert rows == [
        {"item_id": "a", "name": "apple", **empty, "attributes": ["kind=fruit"]},
        {**KNOWN, "name": "rye bread"},
    ]


def test_where_rare_items_are_dropped_none_is_added(told: ItemLog) -> None:
    items = pa.Table.from_pylist([KNOWN], schema=ITEMS_SCHEMA)
    assert with_updates(items, told.items, add=False).to_pylist() == [{**KNOWN, "name": "rye bread"}]


def test_without_updates_of_its_items_a_catalogue_stays_as_it_is() -> None:
    items = pa.Table.from_pylist([KNOWN], schema=ITEMS_SCHEMA)
    assert with_updates(items, {}, add=True) == items


def test_preparing_takes_new_updates_over_once(shop) -> None:
    events = shop.events()
    first = shop.prepare(events, min_item_users=1)
    assert "items_through" not in first.metadata
    log = ItemLog(FolderObjects(first.folder / FOLDER))
    log.append(ItemUpdate("new", 5, {"name": "rusk"}))
    log.append(ItemUpdate("i1", 5, {"name": "told"}))
    second = shop.prepare(events, min_item_users=1)
    assert not shop.reused
    names = {row["item_id"]: row["name"] for row in second.items.to_pylist()}
    assert (names["new"], names["i1"]) == ("rusk", "told")
    assert set(names) == {*(row["item_id"] for row in first.items.to_pylist()), "new"}
    assert second.metadata["items_through"] == 2
    assert second.metadata["items_log"] == log.digest(2)
    assert held(second.metadata) == {"items_through": 2, "items_log": log.digest(2)}
    assert held(first.metadata) == {"items_through": 0, "items_log": ""}
    assert second.data_hash == first.data_hash
    assert Progress.load(second).made_from != Progress.load(first).made_from  # features of items are computed anew
    shop.prepare(events, min_item_users=1)
    assert shop.reused
    for number in (1, 2):  # a log of another place that counts alike
        (first.folder / FOLDER / segment(number)).unlink()
        log = ItemLog(FolderObjects(first.folder / FOLDER))
        log.append(ItemUpdate("i1", 5, {"name": f"elsewhere {number}"}))
    third = shop.prepare(events, min_item_users=1)
    assert not shop.reused
    assert third.metadata["items_log"] == log.digest(2) != second.metadata["items_log"]


def test_a_second_run_says_why_it_prepares_again(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONREC_HOME", str(shop.home))
    words = ["data", "prepare", "--source", "csv", "--events", str(shop.events()), "--name", "shop"]

    def said() -> str:
        return CliRunner().invoke(app, words, catch_exceptions=False).output

    told = ItemLog(FolderObjects(shop.home / "shop" / FOLDER))
    assert "prepared again" not in said()
    told.append(ItemUpdate("new", 5, {"name": "rusk"}))
    assert "1 item update since: prepared again\n" in said()
    assert "up to date" in " ".join(said().split())
