"""Every way to ask wrongly has its own clear answer."""

from __future__ import annotations

import json

import pytest

from functions import wiring
from functions.events.app import handler as events
from functions.items.app import handler as items
from functions.recommend.app import handler as recommend
from functions.users.app import handler as users
from tests.suites.lambda_calls import Answer, call, problem


def ask(body) -> Answer:
    return call(recommend, "POST", "/v1/recommendations", body)


@pytest.mark.parametrize(
    ("field", "value", "pointer", "detail"),
    [
        ("numResults", 0, "/numResults", "greater than or equal to 1"),
        ("numResults", 101, "/numResults", "less than or equal to 100"),
        ("numResults", "5", "/numResults", "valid integer"),
        ("numResults", 5.0, "/numResults", "valid integer"),
        ("numResults", None, "/numResults", "valid integer"),
        ("numResults", True, "/numResults", "valid integer"),
        ("diversity", 1.5, "/diversity", "less than or equal to 1"),
        ("explain", "yes", "/explain", "valid boolean"),
        ("budgetMs", 9, "/budgetMs", "greater than or equal to 10"),
        ("userId", "", "/userId", "at least 1 character"),
        ("userId", "x" * 257, "/userId", "at most 256 characters"),
        ("userId", 7, "/userId", "valid string"),
        ("userId", "session:s", "/userId", "reserved"),
        ("userId", "\ud800", "/userId", "valid string"),
        ("userId", "u\u200b1", "/userId", r"an invisible character, a line break or a direction control (embedding"),
        ("userId", "u\u200b1", "/userId", r"; take it out: U+200B; got 'u\u200b1'"),
        ("sessionId", "s\n", "/sessionId", r"take it out: U+000A; got 's\n'"),
        ("itemId", "\ufeffitem-01", "/itemId", r"take it out: U+FEFF; got '\ufeffitem-01'"),
        ("excludeItemIds", ["item-01", "a\x7f"], "/excludeItemIds/1", r"take it out: U+007F; got 'a\x7f'"),
        ("recentItemIds", "item-01", "/recentItemIds", "valid tuple"),
        ("recentItemIds", ["item-01", 2], "/recentItemIds/1", "valid string"),
        ("recentItemIds", ["a"] * 201, "/recentItemIds", "at most 200 items"),
        ("scenario", "attic", "/scenario", "'home', 'product', 'cart' or 'email'"),
        ("filter", "INCLUDE", "/filter", "not supported yet"),
        ("nextToken", "abc", "/nextToken", "not supported yet"),
        ("num_results", 5, "/num_results", "unknown field"),
        ("a/b~c", 5, "/a~1b~0c", "unknown field"),
    ],
)
def test_a_bad_field_gets_one_row_with_its_pointer(world, field, value, pointer, detail) -> None:
    rows = problem(ask({field: value}), 422, "invalid")["errors"]
    assert [row["pointer"] for row in rows] == [pointer]
    assert detail in rows[0]["detail"]


def test_every_bad_field_has_its_row(world) -> None:
    body = problem(ask({"numResults": 0, "diversity": "x", "colour": 1}), 422, "invalid")
    assert {row["pointer"] for row in body["errors"]} == {"/numResults", "/diversity", "/colour"}
    assert body["detail"] == "3 fields are not as they should be"


def test_one_bad_field_is_told_in_the_singular(world) -> None:
    assert problem(ask({"numResults": 0}), 422, "invalid")["detail"] == "1 field is not as it should be"


def test_unknown_things_are_404(world) -> None:
    assert "'gone'" in problem(ask({"itemId": "gone"}), 404, "unknown-item")["detail"]
    problem(call(items, "GET", "/v1/items/gone/similar"), 404, "unknown-item")
    problem(call(users, "GET", "/v1/users/nobody/profile"), 404, "unknown-user")
    problem(call(recommend, "GET", "/v1/elsewhere"), 404, "not-found")


@pytest.mark.parametrize("item_id", ["日本", "a b", "a%2Fb", "50%", "it's+(1)*:@,;=&$!", "[{<|^>}]", "x.y~z-_"])
def test_ids_of_letters_digits_and_these_marks_can_stand_in_a_path(world, item_id) -> None:
    problem(call(items, "GET", f"/v1/items/{item_id}/similar"), 404, "unknown-item")


@pytest.mark.parametrize("item_id", ["a/b", 'a"b', "a#b", "a\\b", "a`b", "🛒"])
def test_other_ids_are_asked_for_in_a_body_only(world, item_id) -> None:
    """The limit that docs/api.md names."""
    problem(call(items, "GET", f"/v1/items/{item_id}/similar"), 404, "not-found")
    problem(ask({"itemId": item_id}), 404, "unknown-item")


@pytest.mark.parametrize(
    ("handler", "method", "target", "allowed"),
    [
        (recommend, "GET", "/v1/recommendations", "POST"),
        (recommend, "DELETE", "/health/live", "GET"),
        (items, "POST", "/v1/items/item-01/similar", "GET"),
        (items, "PUT", "/v1/trending", "GET"),
        (events, "GET", "/v1/events", "POST"),
        (users, "PATCH", "/v1/users/u/profile", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_the_right_one_named(world, handler, method, target, allowed) -> None:
    answer = call(handler, method, target)
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    ("handler", "target"),
    [
        (recommend, "/health/live"),
        (recommend, "/health/ready"),
        (items, "/v1/trending"),
        (items, "/v1/items/x/similar"),
    ],
)
def test_head_is_get_without_the_body(world, handler, target) -> None:
    found, expected = call(handler, "HEAD", target), call(handler, "GET", target)
    assert expected.text
    assert found.text == ""
    assert (found.status, found.headers["Content-Type"]) == (expected.status, expected.headers["Content-Type"])
    assert call(recommend, "HEAD", "/v1/recommendations").status == 405


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("kind=other", "?kind"), ("numResults=51", "?numResults"), ("numResults=many", "?numResults"), ("knd=x", "?knd")],
)
def test_query_parameters_are_checked_by_name(world, query, pointer) -> None:
    rows = problem(call(items, "GET", f"/v1/items/item-01/similar?{query}"), 422, "invalid")["errors"]
    assert [row["pointer"] for row in rows] == [pointer]


def test_without_a_bundle_503_with_retry_after(world) -> None:
    world.bundles.current = ""
    for answer in (ask({}), call(items, "GET", "/v1/trending"), call(recommend, "GET", "/health/ready")):
        problem(answer, 503, "no-model")
        assert answer.headers["Retry-After"] == "5"
    assert call(recommend, "GET", "/health/live").status == 200


def test_a_tampered_bundle_is_not_served_and_not_described(world, tmp_path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    world.bundles.folders["toy"] = tmp_path
    problem(ask({}), 503, "no-model")


def test_a_store_that_is_away_degrades_slates_and_refuses_profiles(world) -> None:
    world.users.unreachable |= {"user_profile", "user_session"}
    assert ask({"userId": "u"}).json["degraded"] == ["user_profile", "user_session"]
    answer = call(users, "GET", "/v1/users/u/profile")
    problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "5"


def test_an_unexpected_error_says_nothing_of_the_inside(world, monkeypatch) -> None:
    def broken():
        raise RuntimeError("secret of fusionrec.recommend at /srv/x.py")

    monkeypatch.setattr(wiring, "recommender", broken)
    assert "secret" not in json.dumps(problem(ask({}), 500, "internal"))


def test_a_good_slate_on_the_wire(world) -> None:
    answer = ask({"recentItemIds": ["item-01"], "numResults": 2, "explain": True})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert "total;dur=" in answer.headers["Server-Timing"]
    assert set(answer.json) == {"recommendationId", "itemList", "modelVersion", "asOfEventId", "degraded"}
    assert set(answer.json["itemList"][0]["metadata"]) == {"name", "category", "department", "brand", "priceCents"}


def test_the_stage_prefix_of_a_rest_api_is_no_part_of_the_path(world) -> None:
    from functions.local_gateway import LocalContext, proxy_event  # noqa: PLC0415

    event = proxy_event("GET", "/health/live", "", {}, b"", "r")
    event["requestContext"] |= {"stage": "prod", "path": "/prod/health/live"}
    assert recommend(event, LocalContext("r"))["statusCode"] == 200


def test_ids_of_any_script_pass(world) -> None:
    assert ask({"userId": "Zoë/日本 🛒"}).status == 200
    body = {"userId": "日本", "sessionId": "s", "eventList": [
        {"eventId": "e", "eventType": "view", "itemId": "item-01", "sentAt": "2026-11-01T00:00:00Z"}]}  # fmt: skip
    assert call(events, "POST", "/v1/events", body).status == 202
    assert call(users, "GET", "/v1/users/日本/profile").json["userId"] == "日本"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"eventList": []}, "/eventList"),
        ({"eventList": [1] * 101}, "/eventList"),
        ({"eventList": {}}, "/eventList"),
        ({"sessionId": None}, "/sessionId"),
    ],
)
def test_a_bad_events_request_is_refused_whole(world, change, pointer) -> None:
    answer = call(events, "POST", "/v1/events", {"userId": "u", "sessionId": "s", "eventList": [{}], **change})
    assert [row["pointer"] for row in problem(answer, 422, "invalid")["errors"]] == [pointer]
