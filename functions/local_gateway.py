"""What API Gateway does in the cloud, in this process: a request as a REST API event, to the function of its path."""

from __future__ import annotations

import base64
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

Event = dict[str, Any]
Handler = Callable[[Event, Any], Event]

ROUTES: Final = (
    (r"/v1/recommendations|/health/live|/health/ready|/openapi\.json", "functions.recommend.app"),
    (r"/v1/items/[^/]+/similar|/v1/trending", "functions.items.app"),
    (r"/v1/items/[^/]+", "functions.catalogue.app"),
    (r"/v1/events", "functions.events.app"),
    (r"/v1/users/[^/]+/profile", "functions.users.app"),
)


@dataclass(frozen=True, slots=True)
class LocalContext:
    """What the handlers read of Lambda's context."""

    aws_request_id: str
    function_name: str = "local"
    memory_limit_in_mb: int = 0
    invoked_function_arn: str = "local"


class Gateway:
    """Turns an HTTP request into a REST API event and calls the function that serves its path.

    One call at a time, as in a Lambda container: the handlers' resolvers hold the current event.
    """

    def __init__(self, *, open_access: bool) -> None:
        self.open_access = open_access
        self._lock = threading.Lock()
        self._handlers: list[tuple[re.Pattern[str], Handler]] = [
            (re.compile(pattern), import_module(module).handler) for pattern, module in ROUTES
        ]

    def call(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Event:
        """An API Gateway proxy answer: statusCode, multiValueHeaders, body."""
        request_id = str(uuid.uuid4())
        parts = urlsplit(target)
        path = unquote(parts.path)
        if path.startswith("/v1/") and not self.open_access:
            detail = "the request carries no identity; a local server answers without one only if started with --open"
            return refusal(401, "unauthorized", detail, path, request_id)
        for pattern, handler in self._handlers:
            if pattern.fullmatch(path):
                event = proxy_event(method, path, parts.query, headers, body, request_id)
                with self._lock:
                    answer = handler(event, LocalContext(request_id))
                    _drop_metrics()
                    return answer
        return refusal(404, "not-found", f"there is nothing at {path}", path, request_id)


def _drop_metrics() -> None:
    """Powertools prints metrics once a hundred have gathered, though they are switched off."""
    from fusionrec.observability import metrics

    metrics.clear_metrics()


def proxy_event(method: str, path: str, query: str, headers: dict[str, str], body: bytes, request_id: str) -> Event:
    """An event as a REST API sends it to a function."""
    values = parse_qs(query, keep_blank_values=True)
    try:
        text, encoded = body.decode(), False
    except UnicodeDecodeError:
        text, encoded = base64.b64encode(body).decode(), True
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: found[-1] for name, found in values.items()} or None,
        "multiValueQueryStringParameters": values or None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "requestId": request_id,
            "stage": "local",
            "path": path,
            "httpMethod": method,
            "identity": {},
        },
        "body": text or None,
        "isBase64Encoded": encoded,
    }


def refusal(status: int, code: str, detail: str, path: str, request_id: str) -> Event:
    from fusionrec.contracts.problems import MEDIA_TYPE, problem

    body = problem(status, code, detail, instance=path, request_id=request_id)
    return {
        "statusCode": status,
        "multiValueHeaders": {"Content-Type": [MEDIA_TYPE]},
        "body": body.model_dump_json(by_alias=True),
    }
