"""Browsers let the shop's own pages read an answer, errors too, where the stage names their origin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.local_gateway import LocalContext, proxy_event
from functions.recommend.app import handler as recommend
from functions.users.app import handler as users
from fusionrec.contracts.problems import MEDIA_TYPE

SHOP = "https://shop.example.com"


def call(handler: Any, method: str, path: str, body: bytes, variables: Any, media: str = "application/json") -> Any:
    event = proxy_event(method, path, "", {"content-type": media, "origin": "https://evil.example.com"}, body, "r")
    return handler({**event, "stageVariables": variables}, LocalContext("r"))


@pytest.mark.parametrize(
    ("handler", "method", "path", "body", "media", "status"),
    [
        (recommend, "POST", "/v1/recommendations", b"{}", "application/json", 200),
        (recommend, "POST", "/v1/recommendations", b"{", "application/json", 400),
        (recommend, "POST", "/v1/recommendations", b"{}", "text/plain", 415),
        (recommend, "GET", "/v1/recommendations", b"", "application/json", 405),
        (users, "HEAD", "/v1/users/nobody/profile", b"", "application/json", 404),
    ],
)
def test_every_answer_names_the_shops_origin(world, handler, method, path, body, media, status) -> None:
    answer = call(handler, method, path, body, {"origin": SHOP}, media)
    headers = answer["multiValueHeaders"]
    assert (answer["statusCode"], headers["Access-Control-Allow-Origin"]) == (status, [SHOP])
    assert headers["Access-Control-Expose-Headers"] == ["Retry-After"]
    assert headers["Content-Type"] == ["application/json" if status == 200 else MEDIA_TYPE]


@pytest.mark.parametrize("variables", [None, {}, {"other": "x"}])
def test_other_stages_answers_are_for_no_page(world, variables) -> None:
    answer = call(recommend, "POST", "/v1/recommendations", b"{}", variables)
    assert not [name for name in answer["multiValueHeaders"] if name.startswith("Access-Control")]
    assert json.loads(answer["body"])["itemList"]
