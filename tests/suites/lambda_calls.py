"""Calls handlers as API Gateway does, with the use cases of a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from functions.local_gateway import LocalContext, proxy_event

PROBLEM = "application/problem+json"
INTERNAL = (
    "Traceback",
    "fusionrec",
    "functions",
    "pydantic",
    "Request object",
    "RecommendationRequest",
    ".py",
    "class ",
)

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


class Answer:
    def __init__(self, raw: dict[str, Any]) -> None:
        self.status: int = raw["statusCode"]
        self.headers = {name: ", ".join(values) for name, values in raw["multiValueHeaders"].items()}
        self.text: str = raw["body"]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def call(handler: Handler, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """body: text or bytes as they are, anything else as JSON."""
    path, _, query = target.partition("?")
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else b""
    if body is not None and not isinstance(body, bytes | str):
        content = json.dumps(body).encode()
    given = {"content-type": "application/json"} if headers is None else headers
    event = proxy_event(method, path, query, given, content, "request-1")
    return Answer(handler(event, LocalContext("request-1")))


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The problem that this answer must be, all of its fields there and none of them about the inside."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == PROBLEM
    body = answer.json
    assert set(body) == {"type", "title", "status", "detail", "instance", "code", "requestId", "errors"}
    assert (body["status"], body["code"], body["requestId"]) == (status, code, "request-1")
    assert not [name for name in INTERNAL if name in answer.text]
    return body
