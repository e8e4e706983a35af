"""A body that is no JSON, is JSON with two meanings, is too large or says that it is something else."""

from __future__ import annotations

import json

import pytest

from functions.catalogue.app import handler as catalogue
from functions.events.app import handler as events
from functions.recommend.app import handler as recommend
from tests.suites.lambda_calls import Answer, call, problem

OBJECT_WANTED = "Input should be a JSON object"


def ask(body) -> Answer:
    return call(recommend, "POST", "/v1/recommendations", body)


@pytest.mark.parametrize(
    "body",
    [
        '{"userId": ',
        "{'userId': 1}",
        "",
        "nonsense",
        "[" * 100_000,
        '{"numResults": ' + "9" * 5000 + "}",
        b"\xff\xfe{}",
    ],
)
def test_malformed_json_is_400_or_a_missing_body_422(world, body) -> None:
    if body == "":
        assert problem(ask(body), 422, "invalid")["errors"] == [{"pointer": "", "detail": OBJECT_WANTED}]
    else:
        problem(ask(body), 400, "malformed-json")


def test_malformed_json_says_where(world) -> None:
    assert problem(ask('{"userId":\n "a",}'), 400, "malformed-json")["detail"].endswith("at line 2, column 6")


SLATES, EVENTS, ITEM = "/v1/recommendations", "/v1/events", "/v1/items/new"
LONG = "k" * 200


@pytest.mark.parametrize(
    ("handler", "method", "path", "body", "key"),
    [
        (recommend, "POST", SLATES, '{"userId": "a", "numResults": 5, "userId": "b"}', "'userId'"),
        (recommend, "POST", SLATES, '{"userId": "a", "user\\u0049d": "a"}', "'userId'"),
        (recommend, "POST", SLATES, '{"a\\u200b": 1, "a\\u200b": 2}', "'a\\u200b'"),
        (recommend, "POST", SLATES, f'{{"{LONG}": 1, "{LONG}": 2}}', repr(LONG[:100])),
        (events, "POST", EVENTS, '{"sessionId": "s", "eventList": [{"a": 1}, {"a": 1, "a": 1}]}', "'a'"),
        (catalogue, "PUT", ITEM, '{"name": "a", "name": null}', "'name'"),
    ],
)
def test_a_key_that_comes_twice_in_one_object_is_named(world, handler, method, path, body, key) -> None:
    told = problem(call(handler, method, path, body), 400, "malformed-json")["detail"]
    assert told == f"the body has the key {key} more than once in one object; keep one of them"


def test_a_key_may_come_once_in_each_object(world) -> None:
    event = {"eventType": "view", "itemId": "item-01", "sentAt": "2026-11-01T00:00:00Z"}
    body = {"sessionId": "s", "eventList": [{"eventId": "1", **event}, {"eventId": "2", **event}]}
    assert call(events, "POST", "/v1/events", body).json["accepted"] == 2


@pytest.mark.parametrize("body", [[], "text", 3, None])
def test_a_body_that_is_no_object_is_refused(world, body) -> None:
    told = problem(ask(json.dumps(body)), 422, "invalid")
    assert told["errors"] == [{"pointer": "", "detail": OBJECT_WANTED}]


@pytest.mark.parametrize(
    "given", ["text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"]
)
@pytest.mark.parametrize("name", ["content-type", "Content-Type"])
def test_other_media_types_are_refused(world, name, given) -> None:
    answer = call(recommend, "POST", "/v1/recommendations", "{}", {name: given})
    assert given in problem(answer, 415, "unsupported-media-type")["detail"]


@pytest.mark.parametrize("headers", [{}, {"content-type": ""}, {"Content-Type": "application/json; charset=utf-8"}])
def test_json_may_come_without_a_media_type(world, headers) -> None:
    assert call(recommend, "POST", "/v1/recommendations", "{}", headers).status == 200


def test_a_large_body_is_refused_before_it_is_parsed(world) -> None:
    assert "at most 1000000" in problem(ask("[" * 1_000_001), 413, "too-large")["detail"]
