"""What the item log needs of a place for named objects; the fake and the real ones inherit it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import inf
from types import SimpleNamespace
from typing import cast

import pytest

from fusionrec.adapters.memory import MemoryObjects
from fusionrec.errors import StoreUnavailableError
from fusionrec.item_log import SNAPSHOT, ItemLog, ItemUpdate, Objects, segment


class CountingObjects(MemoryObjects):
    """Also keeps what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, name: str) -> bytes | None:
        self.asked.append(name)
        return super().get(name)


class ItemObjectsSuite:
    """Inherit, and give the fixtures `objects` (an empty place) and `unreachable` (one that does not answer)."""

    def test_what_is_not_there_is_none(self, objects: Objects) -> None:
        assert objects.get("0000000001.json") is None

    def test_a_name_is_taken_once(self, objects: Objects) -> None:
        assert objects.create("a.json", b"first")
        assert not objects.create("a.json", b"second")
        assert objects.get("a.json") == b"first"

    def test_the_same_body_does_not_take_a_name_twice(self, objects: Objects) -> None:
        body = b"first"
        assert [objects.create("a.json", body) for _ in range(2)] == [True, False]

    def test_a_snapshot_is_replaced(self, objects: Objects) -> None:
        for body in (b"one", b"two"):
            objects.replace("snapshot.json", body)
            assert objects.get("snapshot.json") == body

    def test_one_of_many_gets_the_name(self, objects: Objects) -> None:
        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(lambda n: objects.create("a.json", b"%d" % n), range(8)))
        assert sum(won) == 1
        assert objects.get("a.json") == b"%d" % won.index(True)

    def test_another_reader_sees_what_was_appended(self, objects: Objects) -> None:
        ItemLog(objects).append(
            ItemUpdate("a/ü \ud83d", 5, {"name": "Brot \ud800", "attributes": ("x", "y"), "available": False})
        )
        reader = ItemLog(objects)
        assert reader.poll()
        fields = {name: stamped.value for name, stamped in reader.items["a/ü \ud83d"].items()}
        assert fields == {"name": "Brot \ud800", "attributes": ("x", "y"), "available": False}

    def test_a_thousand_updates_are_read_in_ten(self, objects: Objects) -> None:
        """Written in memory and copied, the last hundred and the snapshot: no other is asked for."""
        written = MemoryObjects()
        log = ItemLog(written)
        for n in range(1, 1001):
            log.append(ItemUpdate(f"item-{n % 97}", n, {"name": f"name {n}", "price_cents": n}))
        for n in range(901, 1001):
            assert objects.create(segment(n), written.bodies[segment(n)])
        objects.replace(SNAPSHOT, written.bodies[SNAPSHOT])
        asked: list[str] = []
        get = objects.get
        reader = ItemLog(cast(Objects, SimpleNamespace(get=lambda name: asked.append(name) or get(name))))
        reader.catch_up(inf)
        assert asked == [SNAPSHOT, *(segment(number) for number in range(993, 1002))]
        assert reader.items == log.items
        assert (reader.through, len(reader.items)) == (1000, 97)

    def test_a_place_that_is_away_is_said_to_be(self, unreachable: Objects) -> None:
        for ask in (
            lambda: unreachable.get("a"),
            lambda: unreachable.create("a", b""),
            lambda: unreachable.replace("a", b""),
        ):
            with pytest.raises(StoreUnavailableError):
                ask()
