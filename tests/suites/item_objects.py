"""What the item log needs of a place for named objects; the fake and the real ones inherit it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fusionrec.errors import StoreUnavailableError
from fusionrec.item_log import ItemLog, ItemUpdate, Objects


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

    def test_a_place_that_is_away_is_said_to_be(self, unreachable: Objects) -> None:
        for ask in (
            lambda: unreachable.get("a"),
            lambda: unreachable.create("a", b""),
            lambda: unreachable.replace("a", b""),
        ):
            with pytest.raises(StoreUnavailableError):
                ask()
