"""PUT /v1/items/{itemId} through the handler: statuses, errors field by field, and who may."""

from __future__ import annotations

import json

import pytest

from functions import wiring
from functions.catalogue.app import handler
from functions.events.app import handler as events
from functions.local_gateway import LocalContext, proxy_event
from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemoryLog, MemorySink
from fusionrec.ingest import Ingester
from tests.suites.lambda_calls import Answer, call
from tests.suites.live_shop import LiveShop
from tests.suites.serving import NOW


@pytest.fixture(autouse=True)
def shop(toy_bundle, monkeypatch: pytest.MonkeyPatch) -> LiveShop:
    shop = LiveShop(toy_bundle)
    monkeypatch.setattr(wiring, "item_writer", lambda: shop.writer)
    return shop


def test_created_then_known() -> None:
    body = {"name": "rusk", "brand": "brand 1", "priceCents": 250}
    first, second = (call(handler, "PUT", "/v1/items/new", body) for _ in range(2))
    assert (first.status, second.status) == (201, 200)
    assert first.json == second.json
    assert first.json["likeItems"][0]["metadata"]["name"] == "rye 2"


def test_each_wrong_field_is_named() -> None:
    body = {"name": 5, "priceCents": -1, "attributes": ["ok", " "], "available": None, "colour": "red", "updatedAt": 3}
    answer = call(handler, "PUT", "/v1/items/new", body)
    assert answer.status == 422
    assert {row["pointer"] for row in answer.json["errors"]} == {
        "/name", "/priceCents", "/attributes/1", "/available", "/colour", "/updatedAt",
    }  # fmt: skip


@pytest.mark.parametrize("body", [{}, {"updatedAt": "2026-10-31T00:00:00Z"}])
def test_nothing_to_change_is_refused(body, shop) -> None:
    answer = call(handler, "PUT", "/v1/items/new", body)
    assert (answer.status, answer.json["errors"][0]["detail"]) == (422, "send at least one attribute to change")
    assert not shop.objects.bodies


def test_while_the_log_is_away_it_says_when_to_come_back(shop) -> None:
    shop.objects.unreachable = True
    answer = call(handler, "PUT", "/v1/items/new", {"name": "x"})
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"]


def test_an_event_on_an_item_that_nobody_can_look_up_is_to_come_again(shop, monkeypatch) -> None:
    clock = FixedClock(NOW)
    ingester = Ingester(MemorySink(), MemoryLog(), MemoryFeatures(clock), shop.models, clock)
    monkeypatch.setattr(wiring, "ingester", lambda: ingester)
    event = {"eventId": "e", "eventType": "view", "itemId": "new", "sentAt": NOW.isoformat()}
    body = {"sessionId": "s", "eventList": [event]}
    shop.put("new", name="rusk")
    shop.objects.unreachable = True
    answer = call(events, "POST", "/v1/events", body)
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert answer.json["detail"] == (
        "whether there is an item 'new' cannot be told now; send the same events again shortly"
    )
    assert answer.headers["Retry-After"]
    shop.objects.unreachable = False
    shop.models._items._not_before = 0.0  # a second later
    assert call(events, "POST", "/v1/events", body).json == {"accepted": 1, "duplicates": 0, "rejected": []}


def test_only_put_is_answered() -> None:
    answer = call(handler, "POST", "/v1/items/new", {"name": "x"})
    assert (answer.status, answer.headers["Allow"]) == (405, "PUT")


@pytest.mark.parametrize(
    ("authorizer", "status"),
    [
        ({"claims": {"sub": "u"}}, 403),
        ({"claims": {"sub": "u", "scope": "recs:read catalogue:writer"}}, 403),
        ({"claims": {"scope": "recs:read shop/catalogue:write"}}, 201),
        ({"sub": "server", "scope": "catalogue:write"}, 201),
        ({"principalId": "x"}, 201),  # an authorizer that knows no tokens: the gateway has judged
    ],
)
def test_a_token_needs_the_scope(authorizer, status, shop) -> None:
    body = json.dumps({"brand": "brand 1"}).encode()
    event = proxy_event("PUT", "/v1/items/new", "", {"content-type": "application/json"}, body, "request-1")
    event["requestContext"]["authorizer"] = authorizer
    answer = Answer(handler(event, LocalContext("request-1")))
    assert answer.status == status
    assert bool(shop.objects.bodies) == (status == 201)


def test_an_id_of_white_space_is_refused_under_the_paths_own_name() -> None:
    answer = call(handler, "PUT", "/v1/items/ ", {"name": "x"})
    assert answer.status == 422
    [told] = answer.json["errors"]
    assert told == {"pointer": "/itemId", "detail": "white space or invisible characters alone are no id; got ' '"}
