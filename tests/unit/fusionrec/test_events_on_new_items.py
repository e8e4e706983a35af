"""Events on items told of after training."""

from __future__ import annotations

import time

import pytest

from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemoryLog, MemorySink
from fusionrec.contracts.events import EventsAnswer, EventsRequest
from fusionrec.errors import StoreUnavailableError
from fusionrec.ingest import Ingester
from fusionrec.item_log import segment
from fusionrec.live_items import AT_ONCE_EVERY_S
from tests.suites.item_objects import CountingObjects
from tests.suites.live_shop import LIKE_2_AND_9, LiveShop
from tests.suites.serving import NOW


def test_are_accepted(toy_bundle) -> None:
    shop = LiveShop(toy_bundle)
    sink = MemorySink()
    ingester = Ingester(sink, MemoryLog(), MemoryFeatures(FixedClock(NOW)), shop.models, FixedClock(NOW))
    event = {"eventId": "e", "eventType": "view", "itemId": "new", "sentAt": NOW.isoformat()}
    request = EventsRequest.model_validate({"sessionId": "s", "eventList": [event]})
    assert ingester.ingest(request).rejected[0].code == "unknown-item"
    shop.put("new", **LIKE_2_AND_9)
    assert ingester.ingest(request).accepted == 1
    assert [taken.item_id for taken in sink.taken] == ["new"]


class TestEventsOnAnItemToldOfJustNow:
    """In a function that looks for new items every hour, or whose last look failed."""

    @pytest.fixture
    def shop(self, toy_bundle) -> LiveShop:
        shop = LiveShop(toy_bundle, CountingObjects(), check_every_s=3600)
        shop.models.current()
        return shop

    @pytest.fixture
    def sink(self) -> MemorySink:
        return MemorySink()

    @pytest.fixture
    def send(self, shop, sink):
        ingester = Ingester(sink, MemoryLog(), MemoryFeatures(FixedClock(NOW)), shop.models, FixedClock(NOW))

        def send(*items: str) -> EventsAnswer:
            events = [
                {"eventId": f"e{n}", "eventType": "view", "itemId": item, "sentAt": NOW.isoformat()}
                for n, item in enumerate(items)
            ]
            time.sleep(AT_ONCE_EVERY_S)
            return ingester.ingest(EventsRequest.model_validate({"sessionId": "s", "eventList": events}))

        return send

    def test_are_taken(self, shop, send) -> None:
        shop.put("new", **LIKE_2_AND_9)
        assert send("new", "item-01").accepted == 2

    def test_on_a_known_item_cost_no_look_at_the_log(self, shop, send) -> None:
        shop.objects.asked.clear()
        send("item-01")
        assert shop.objects.asked == []

    def test_nor_does_a_long_file_of_unknown_ones_cost_a_look_a_row(self, shop) -> None:
        shop.objects.asked.clear()
        ended = time.monotonic() + 10 * AT_ONCE_EVERY_S
        while time.monotonic() < ended:
            shop.models.current(items_at_once=True)
        assert 0 < shop.objects.asked.count(segment(1)) <= 11

    def test_come_again_while_the_log_is_away_and_then_count(self, shop, send, sink) -> None:
        shop.put("new", **LIKE_2_AND_9)
        shop.objects.unreachable = True
        for _ in range(2):
            with pytest.raises(StoreUnavailableError) as caught:
                send("item-01", "new")
            assert caught.value.told.startswith("whether there is an item 'new' cannot be told now")
        assert not sink.taken
        shop.objects.unreachable = False
        with pytest.raises(StoreUnavailableError):
            send("new")  # asked in vain a moment ago: not asked again
        shop.models._items._not_before = 0.0  # a second later, long before the half minute has passed
        assert send("item-01", "new").accepted == 2

    def test_are_refused_when_the_log_says_that_there_is_none(self, shop, send) -> None:
        assert [row.code for row in send("gone", "item-01").rejected] == ["unknown-item"]

    def test_on_known_items_are_taken_though_the_log_is_away(self, shop, send) -> None:
        shop.objects.unreachable = True
        assert send("item-01").accepted == 1
