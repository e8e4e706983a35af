"""A token reads and writes its own user only; a server that signs its requests names the user."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.events.app import handler as events
from functions.local_gateway import LocalContext, proxy_event
from functions.recommend.app import handler as recommend
from functions.users.app import handler as users
from fusionrec.adapters.memory import FixedClock
from tests.suites.serving import NOW

EVENT = {"eventId": "e1", "eventType": "view", "itemId": "item-01", "sentAt": NOW.isoformat()}


def call(handler: Any, method: str, path: str, body: Any, authorizer: Any) -> dict[str, Any]:
    content = json.dumps(body).encode() if body else b""
    event = proxy_event(method, path, "", {"content-type": "application/json"}, content, "r")
    event["requestContext"]["authorizer"] = authorizer
    answer: dict[str, Any] = handler(event, LocalContext("r"))
    return answer


@pytest.fixture(params=[{"claims": {"sub": "u"}}, {"sub": "u", "principalId": "x"}], ids=["cognito", "lambda"])
def token(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_the_user_comes_from_the_token(world, token) -> None:
    body = {"sessionId": "s", "eventList": [EVENT]}
    assert call(events, "POST", "/v1/events", body, token)["statusCode"] == 202
    assert world.users.read("u", FixedClock(NOW).deadline(10)).session["event_ids"] == ["e1"]
    slate = json.loads(call(recommend, "POST", "/v1/recommendations", {"numResults": 2}, token)["body"])
    assert slate["asOfEventId"] == "e1"


@pytest.mark.parametrize(
    ("handler", "method", "path", "body"),
    [
        (events, "POST", "/v1/events", {"userId": "v", "sessionId": "s", "eventList": [EVENT]}),
        (recommend, "POST", "/v1/recommendations", {"userId": "v"}),
        (users, "GET", "/v1/users/v/profile", None),
    ],
)
def test_another_user_is_forbidden(world, token, handler, method, path, body) -> None:
    answer = call(handler, method, path, body, token)
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (403, "forbidden")
    assert world.users.read("v", FixedClock(NOW).deadline(10)).session["event_ids"] == []


@pytest.mark.parametrize("authorizer", [None, {}, {"userArn": "arn:aws:iam::1:role/shop"}])
def test_a_server_names_the_user(world, authorizer) -> None:
    body = {"userId": "v", "sessionId": "s", "eventList": [EVENT]}
    assert call(events, "POST", "/v1/events", body, authorizer)["statusCode"] == 202
    assert world.users.read("v", FixedClock(NOW).deadline(10)).session["event_ids"] == ["e1"]
