from __future__ import annotations

import json

import pytest

from fusionrec.adapters.memory import MemoryObjects
from fusionrec.errors import DataError, StoreUnavailableError
from fusionrec.item_log import SNAPSHOT, SNAPSHOT_EVERY, ItemLog, ItemUpdate, decode, encode, segment


def update(item_id: str = "a", at: int = 1, **fields) -> ItemUpdate:
    return ItemUpdate(item_id, at, fields)


def values(log: ItemLog, item_id: str = "a") -> dict[str, object]:
    return {name: stamped.value for name, stamped in log.items.get(item_id, {}).items()}


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


class CountingObjects(MemoryObjects):
    """Also keeps what was asked for."""

    def get(self, name: str) -> bytes | None:
        self.__dict__.setdefault("asked", []).append(name)
        return super().get(name)


def test_of_each_field_the_latest_counts_and_of_equal_times_the_later_arrival(objects) -> None:
    log = ItemLog(objects)
    log.append(update(at=5, name="new", brand="b"))
    log.append(update(at=3, name="late", price_cents=7))
    log.append(update(at=5, brand="c"))
    assert values(log) == {"name": "new", "price_cents": 7, "brand": "c"}


def test_a_poll_without_news_asks_once() -> None:
    objects = CountingObjects()
    log = ItemLog(objects)
    log.append(update(name="x"))
    objects.asked.clear()
    assert log.poll()
    assert objects.asked == [segment(2)]


def test_changes_are_told_once(objects) -> None:
    writer, reader = ItemLog(objects), ItemLog(objects)
    writer.append(update("a", name="x"))
    writer.append(update("b", name="y"))
    reader.poll()
    assert reader.changes() == {"a", "b"}
    assert reader.changes() == set()
    writer.append(update("b", name="z"))
    reader.poll()
    assert reader.changes() == {"b"}


def test_a_new_reader_jumps_to_the_snapshot_and_ends_as_one_that_reads_all() -> None:
    objects = CountingObjects()
    writer = ItemLog(objects)
    for n in range(SNAPSHOT_EVERY * 2 + 3):
        writer.append(update(f"item-{n % 5}", at=n % 7, price_cents=n))
    objects.asked.clear()
    reader, thorough = ItemLog(objects), ItemLog(objects, from_snapshot=False)
    reader.poll()
    assert len(objects.asked) == 1 + 3 + 1  # the snapshot, what came since, and the end
    thorough.poll()
    assert reader.items == thorough.items == writer.items
    assert reader.changes() == thorough.changes()


def test_a_reader_that_fell_behind_jumps_too() -> None:
    objects = CountingObjects()
    reader, writer = ItemLog(objects), ItemLog(objects)
    writer.append(update(name="first"))
    reader.poll()
    for n in range(SNAPSHOT_EVERY * 8):
        writer.append(update("b", at=n, price_cents=n))
    objects.asked.clear()
    reader.changes()
    assert reader.poll()
    assert len(objects.asked) < SNAPSHOT_EVERY * 2
    assert reader.items == writer.items
    assert reader.changes() == {"b"}


def test_a_long_way_is_gone_in_steps(objects) -> None:
    writer, reader = ItemLog(objects), ItemLog(objects, from_snapshot=False)
    for n in range(10):
        writer.append(update(at=n, price_cents=n))
    assert [reader.poll(max_steps=4) for _ in range(3)] == [False, False, True]
    assert reader.through == 10


def test_a_snapshot_leaves_out_what_the_bundle_holds_and_a_rollback_brings_it_back(objects) -> None:
    writer = ItemLog(objects)
    for n in range(SNAPSHOT_EVERY - 2):
        writer.append(update(at=n, name=f"name {n}"))
    writer.rebase(SNAPSHOT_EVERY - 2)
    writer.append(update(at=100, price_cents=5))
    writer.append(update("b", at=100, name="fresh"), held=lambda item_id: item_id == "a")
    rows = json.loads(objects.get(SNAPSHOT) or b"")["items"]
    assert {item_id: set(fields) for item_id, fields in rows.items()} == {"a": {"price_cents"}, "b": {"name"}}
    served = ItemLog(objects)
    served.rebase(SNAPSHOT_EVERY - 2)
    served.poll()
    assert values(served) == {"price_cents": 5}
    served.rebase(0)  # the bundle of before is served again
    served.poll()
    assert values(served) == {"name": f"name {SNAPSHOT_EVERY - 3}", "price_cents": 5}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"through": 99}', b'{"through":99,"since":0,"items":{"a":{"name":3}}}']
)
def test_a_damaged_snapshot_is_ignored(objects, body) -> None:
    ItemLog(objects).append(update(name="x"))
    objects.replace(SNAPSHOT, body)
    reader = ItemLog(objects)
    reader.poll()
    assert values(reader) == {"name": "x"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"item_id":"a","updated_at":1,"fields":{"name":1}}',
        b'{"item_id":"","updated_at":1,"fields":{}}',
        b'{"item_id":"a","updated_at":true,"fields":{}}',
        b'{"item_id":"a","updated_at":1,"fields":{"available":0}}',
    ],
)
def test_a_damaged_update_is_skipped_and_holds_up_nothing(objects, body) -> None:
    with pytest.raises(DataError):
        decode(body)
    objects.create(segment(1), body)
    log = ItemLog(objects)
    assert log.append(update(name="x")) == 2
    assert values(log) == {"name": "x"}


def test_a_later_versions_fields_are_ignored() -> None:
    record = {**json.loads(encode(update(name="x"))), "schema_version": 9, "colour": "red"}
    record["fields"]["weight"] = 4
    assert decode(json.dumps(record).encode()).fields == {"name": "x"}


def test_a_snapshot_that_cannot_be_written_costs_no_update(objects, monkeypatch) -> None:
    def away(name: str, body: bytes) -> None:
        raise StoreUnavailableError("item_updates", "away")

    monkeypatch.setattr(objects, "replace", away)
    log = ItemLog(objects)
    assert [log.append(update(at=n, price_cents=n)) for n in range(SNAPSHOT_EVERY)][-1] == SNAPSHOT_EVERY
