# mypy: disallow-untyped-decorators=False
"""What every HTTP handler shares: the resolver, body limits, and errors as problem+json without internal names."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestUnsupportedContentType, RequestValidationError
from aws_lambda_powertools.metrics import MetricUnit

from fusionrec.contracts.problems import MEDIA_TYPE, FieldProblem, Problem, field_problem, problem
from fusionrec.errors import (
    BadInputError,
    BundleError,
    ForbiddenError,
    StoreUnavailableError,
    UnknownItemError,
    UnknownUserError,
)
from fusionrec.observability import logger, metrics

JSON: Final = "application/json"
MAX_BODY_BYTES: Final = 1_000_000
RETRY_AFTER_S: Final = 5
IN_LAMBDA: Final = (
    "AWS_LAMBDA_FUNCTION_NAME" in os.environ
)  # elsewhere the metric would be printed, switched off or not
METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")

Event = dict[str, Any]
Handler = Callable[[Event, Any], Event]


class MalformedBodyError(BadInputError):
    """The body is not JSON, or could be read in two ways."""


def parse_json(text: str) -> Any:
    """Raises MalformedBodyError, saying where."""
    try:
        return json.loads(text, object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedBodyError(f"the body is not JSON: {error.msg} at {where}") from None
    except (ValueError, RecursionError):
        raise MalformedBodyError(
            "the body is not JSON that can be read: a number too long, or nested too deep"
        ) from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values under one key Python would take the last, another reader the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        key = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise MalformedBodyError(f"the body has the key {key[:100]!r} more than once in one object; keep one of them")
    return found


def resolver(routes: Mapping[str, str]) -> APIGatewayRestResolver:
    """An app whose errors are problems. routes: path → the method that it answers; the others get 405."""
    app = APIGatewayRestResolver(enable_validation=True, json_body_deserializer=parse_json)
    for path, allowed in routes.items():
        others = [method for method in METHODS if method != allowed]
        app.route(path, method=others, include_in_schema=False, enable_validation=False)(_refusal(app, allowed))
    _answer_errors(app)
    return app


def handler(app: APIGatewayRestResolver) -> Handler:
    """The Lambda entry point of an app."""

    @logger.inject_lambda_context(correlation_id_path="requestContext.requestId", clear_state=True)
    @metrics.log_metrics(capture_cold_start_metric=IN_LAMBDA)
    def entry(event: Event, context: Any) -> Event:
        metrics.add_metric("Requests", MetricUnit.Count, 1)
        try:
            _refuse_other_media_types(event)
            if event.get("httpMethod") == "HEAD":  # what GET would say, less the body
                said = {**app.resolve(_with_text_body({**event, "httpMethod": "GET"}), context), "body": ""}
            else:
                said = dict(app.resolve(_with_text_body(event), context))
        except _Refused as refused:
            said = refused.answer
        return _for_pages(said, (event.get("stageVariables") or {}).get("origin"))

    return cast(Handler, entry)


def refuse_unknown_query(app: APIGatewayRestResolver, known: Sequence[str]) -> None:
    """A misspelt query parameter must not be ignored. Raises BadInputError."""
    for name in app.current_event.query_string_parameters:
        if name not in known:
            raise BadInputError(f"unknown query parameter; this path takes {', '.join(known)}", pointer=f"?{name}")


def acting_user(app: APIGatewayRestResolver, user_id: str | None) -> str | None:
    """The user of the caller's token where it has one, else the user that the request names.

    A token authorizer puts the claim `sub` into the event; servers that sign their requests have none.
    raises: ForbiddenError when a token's request names another user
    """
    authorizer = app.current_event.request_context.get("authorizer") or {}
    own = (authorizer.get("claims") or authorizer).get("sub")
    if own and user_id not in (None, own):
        raise ForbiddenError("the token is of another user; leave userId out, or send the token's own")
    return own or user_id


def require_scope(app: APIGatewayRestResolver, scope: str) -> None:
    """A token must have been given this scope; servers that sign their requests are judged by the gateway's policies.

    raises: ForbiddenError
    """
    authorizer = app.current_event.request_context.get("authorizer") or {}
    claims = authorizer.get("claims") or authorizer
    is_token = "sub" in claims or "scope" in claims
    if is_token and scope not in {each.rpartition("/")[2] for each in str(claims.get("scope", "")).split()}:
        raise ForbiddenError(f"the token lacks the scope {scope}")


def answer(status: int, body: Problem, headers: Mapping[str, str] | None = None) -> Response[str]:
    return Response(status, MEDIA_TYPE, body.model_dump_json(by_alias=True), headers=headers)


class _Refused(Exception):  # noqa: N818 - an answer, not an error
    """Ends a request before the resolver sees it."""

    def __init__(self, status: int, code: str, detail: str, event: Event) -> None:
        request_id = (event.get("requestContext") or {}).get("requestId") or ""
        body = problem(status, code, detail, instance=event.get("path", ""), request_id=request_id)
        self.answer: Event = {
            "statusCode": status,
            "multiValueHeaders": {"Content-Type": [MEDIA_TYPE]},
            "body": body.model_dump_json(by_alias=True),
            "isBase64Encoded": False,
        }


def _refuse_other_media_types(event: Event) -> None:
    """A body must not say that it is something else: the resolver would read JSON as a form. Raises _Refused."""
    given = next((text for name, text in (event.get("headers") or {}).items() if name.lower() == "content-type"), "")
    if event.get("body") and given.strip() and given.partition(";")[0].strip().lower() != JSON:
        detail = f"send the body as {JSON}, not as {given[:100]}"
        raise _Refused(415, "unsupported-media-type", detail, event)


def _with_text_body(event: Event) -> Event:
    """The event with its body as text of bearable length. Raises _Refused."""
    body = event.get("body") or ""
    size = len(body.encode("utf-8", "surrogatepass"))
    if size > MAX_BODY_BYTES:
        detail = f"the body has {size} bytes, at most {MAX_BODY_BYTES} are taken; send fewer events a call"
        raise _Refused(413, "too-large", detail, event)
    if not event.get("isBase64Encoded"):
        return event
    try:
        return {**event, "body": base64.b64decode(body, validate=True).decode(), "isBase64Encoded": False}
    except ValueError:  # no base64, or bytes that are no UTF-8
        raise _Refused(400, "malformed-json", "the body is not JSON: it is not text in UTF-8", event) from None


def _for_pages(said: Event, origin: str | None) -> Event:
    """A browser shows a page an answer only if that names the page's origin; the stage for browsers knows the shop's.

    The gateway answers preflights itself, but cannot add to what a function says.
    """
    if not origin:
        return said
    shown = {"Access-Control-Allow-Origin": [origin], "Access-Control-Expose-Headers": ["Retry-After"]}
    return {**said, "multiValueHeaders": {**said.get("multiValueHeaders", {}), **shown}}


def _refusal(app: APIGatewayRestResolver, allowed: str) -> Callable[..., Response[str]]:
    def method_not_allowed(**_: str) -> Response[str]:
        detail = f"{app.current_event.path} answers {allowed} only"
        return _problem(app, 405, "method-not-allowed", detail, headers={"Allow": allowed})

    return method_not_allowed


def _problem(
    app: APIGatewayRestResolver, status: int, code: str, detail: str, *,
    errors: Sequence[FieldProblem] = (), headers: Mapping[str, str] | None = None,
) -> Response[str]:  # fmt: skip
    event = app.current_event
    request_id = str(event.request_context.get("requestId") or "")
    body = problem(status, code, detail, instance=event.path, request_id=request_id, errors=errors)
    return answer(status, body, headers)


def _answer_errors(app: APIGatewayRestResolver) -> None:
    _answer_bad_requests(app)
    _answer_failures(app)


def _answer_bad_requests(app: APIGatewayRestResolver) -> None:
    """What the caller can mend."""

    def plainly(kind: type[Exception], status: int, code: str, detail: Callable[[Exception], str]) -> None:
        app.exception_handler(kind)(lambda error: _problem(app, status, code, detail(error)))

    plainly(RequestUnsupportedContentType, 415, "unsupported-media-type", lambda _: "send the body as application/json")
    plainly(MalformedBodyError, 400, "malformed-json", str)
    plainly(ForbiddenError, 403, "forbidden", str)
    plainly(UnknownItemError, 404, "unknown-item", str)
    plainly(UnknownUserError, 404, "unknown-user", str)
    plainly(NotFoundError, 404, "not-found", lambda _: f"there is nothing at {app.current_event.path}")

    @app.exception_handler(RequestValidationError)
    def invalid(error: RequestValidationError) -> Response[str]:
        rows = [field_problem(row) for row in error.errors()]
        told = "1 field is not as it should be" if len(rows) == 1 else f"{len(rows)} fields are not as they should be"
        return _problem(app, 422, "invalid", told, errors=rows)

    @app.exception_handler(BadInputError)
    def bad_input(error: BadInputError) -> Response[str]:
        rows = [FieldProblem(pointer=error.pointer, detail=str(error))]
        return _problem(app, 422, "invalid", "1 field is not as it should be", errors=rows)


def _answer_failures(app: APIGatewayRestResolver) -> None:
    """What is wrong on this side: said in the log, not to the caller."""
    retry = {"Retry-After": str(RETRY_AFTER_S)}

    @app.exception_handler(BundleError)
    def no_bundle(error: BundleError) -> Response[str]:
        logger.error("no bundle to serve", extra={"detail": str(error)})
        return _problem(app, 503, "no-model", "there is no model to answer with; try again shortly", headers=retry)

    @app.exception_handler(StoreUnavailableError)
    def store_away(error: StoreUnavailableError) -> Response[str]:
        logger.error("store unavailable", extra={"detail": str(error)})
        told = error.told or "a store does not answer; try again shortly"
        return _problem(app, 503, "unavailable", told, headers=retry)

    @app.exception_handler(Exception)
    def unexpected(error: Exception) -> Response[str]:
        logger.exception("unexpected error")
        metrics.add_metric("UnexpectedErrors", MetricUnit.Count, 1)
        return _problem(app, 500, "internal", "something went wrong here; the request id finds it in the logs")
