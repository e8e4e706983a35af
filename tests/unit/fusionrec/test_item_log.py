from __future__ import annotations

import hashlib
import json
from math import inf

import pytest

from fusionrec.adapters.memory import MemoryObjects
from fusionrec.errors import DataError, StoreUnavailableError
from fusionrec.item_log import (
    APPEND_S,
    POLL_S,
    SNAPSHOT,
    SNAPSHOT_EVERY,
    ItemLog,
    ItemUpdate,
    decode,
    encode,
    segment,
)
from tests.suites.item_objects import CountingObjects


def update(item_id: str = "a", at: int = 1, **fields) -> ItemUpdate:
    return ItemUpdate(item_id, at, fields)


def values(log: ItemLog, item_id: str = "a") -> dict[str, object]:
    return {name: stamped.value for name, stamped in log.items.get(item_id, {}).items()}


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


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


class SlowObjects(CountingObjects):
    """Each answer takes a hundredth of a second of `time`."""

    time = 0.0

    def get(self, name: str) -> bytes | None:
        self.time += 0.01
        return super().get(name)

    def create(self, name: str, body: bytes) -> bool:
        self.time += 0.01
        return super().create(name, body)


def thousand() -> SlowObjects:
    """1,000 updates of 97 items."""
    objects = SlowObjects()
    writer = ItemLog(objects)
    for n in range(1000):
        writer.append(update(f"item-{n % 97}", at=n, name=f"name {n}", price_cents=n))
    objects.asked.clear()
    objects.time = 0.0
    return objects


def test_a_thousand_updates_cost_a_new_reader_ten_reads() -> None:
    objects = thousand()
    reader = ItemLog(objects, timer=lambda: objects.time)
    assert reader.poll()
    assert objects.asked == [SNAPSHOT, *(segment(number) for number in range(993, 1002))]
    whole = ItemLog(objects, from_snapshot=False)
    assert whole.poll(inf)
    assert reader.items == whole.items


def test_without_a_snapshot_each_poll_takes_its_time_and_the_next_goes_on() -> None:
    objects = thousand()
    del objects.bodies[SNAPSHOT]
    reader = ItemLog(objects, timer=lambda: objects.time)
    spent, is_all = [], False
    while not is_all:
        began = objects.time
        is_all = reader.poll()
        spent.append(objects.time - began)
    assert max(spent) <= POLL_S + 0.02 + 1e-9  # the answer that the time ran out on, and a look for a snapshot
    assert len(spent) == pytest.approx(1000 * 0.01 / POLL_S, rel=0.1)
    assert reader.through == 1000


def test_what_takes_longer_than_a_poll_still_gets_on() -> None:
    objects = thousand()
    reader = ItemLog(objects, timer=lambda: objects.time)
    assert [reader.poll(budget_s=0.0) for _ in range(9)] == [False] * 8 + [True]
    assert reader.through == 1000


def test_a_writer_that_is_far_behind_gives_up_in_time_and_goes_on_when_it_is_asked_again() -> None:
    objects = thousand()
    del objects.bodies[SNAPSHOT]
    writer = ItemLog(objects, timer=lambda: objects.time)
    for _ in range(3):
        began = objects.time
        with pytest.raises(StoreUnavailableError, match="more updates than could be read"):
            writer.append(update(name="late"))
        assert objects.time - began <= APPEND_S + 0.02
    assert writer.append(update(name="late", at=2000)) == 1001


def test_a_writer_whom_others_always_overtake_gives_up_in_time() -> None:
    objects = SlowObjects()
    other = ItemLog(objects)
    create = objects.create

    def overtaken(name: str, body: bytes) -> bool:
        objects.create = create  # type: ignore[method-assign]
        other.append(update("other", price_cents=1))
        objects.create = overtaken  # type: ignore[method-assign]
        return create(name, body)

    objects.create = overtaken  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailableError, match="other writers"):
        ItemLog(objects, timer=lambda: objects.time).append(update(name="never"))
    assert objects.time <= APPEND_S + 0.1
    assert "a" not in other.items


def test_a_snapshot_that_was_lost_is_made_up_for(objects) -> None:
    """Its writer died; the next ones do not wait for the next round number but one."""
    writer = ItemLog(objects)
    for n in range(SNAPSHOT_EVERY * 2 - 1):
        writer.append(update(at=n, price_cents=n))
    objects.bodies.pop(SNAPSHOT)
    fresh = ItemLog(objects)
    objects.create(segment(SNAPSHOT_EVERY * 2), encode(update(name="its writer dies here")))
    fresh.append(update("b", price_cents=1))
    assert json.loads(objects.bodies[SNAPSHOT])["through"] == SNAPSHOT_EVERY * 2 + 1


def test_a_reader_that_keeps_up_reads_no_snapshots() -> None:
    objects = CountingObjects()
    reader, writer = ItemLog(objects), ItemLog(MemoryObjects(objects.bodies))
    reader.poll()
    for n in range(SNAPSHOT_EVERY * 3):
        writer.append(update(at=n, price_cents=n))
        reader.poll()
    assert objects.asked.count(SNAPSHOT) == 1  # at its start


def test_a_digest_tells_an_update_from_that_of_another_log(objects) -> None:
    other = MemoryObjects()
    for place, name in ((objects, "x"), (other, "y")):
        ItemLog(place).append(update(name=name))
    assert ItemLog(objects).digest(1) == hashlib.sha256(encode(update(name="x"))).hexdigest()
    assert ItemLog(objects).digest(1) != ItemLog(other).digest(1)
    assert ItemLog(objects).digest(2) == ""


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


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"schema_version":2,"through": 99}',
        b'{"schema_version":2,"through":99,"items":{"a":{"name":3}}}',
        b'{"schema_version":1,"through":99,"since":50,"items":{}}',  # an older one: it left something out
    ],
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
