"""The servers' API in the template: its routes, who may call it and how often, its errors; and the example events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from functions import openapi
from fusionrec.contracts.events import Event, EventsRequest
from fusionrec.contracts.items import ItemAttributes
from fusionrec.contracts.problems import MEDIA_TYPE, Problem
from fusionrec.contracts.recommendations import RecommendationRequest
from fusionrec.messages import from_message
from fusionrec.sources import OrderPlaced
from tests.template import FUNCTIONS, RESOURCES, ROOT, api_events, routes

EVENTS = sorted((ROOT / "events").glob("*.json"))
OPEN_PATHS = {"/health/live", "/health/ready", "/openapi.json"}


def test_the_gateway_serves_what_the_api_describes() -> None:
    described = {
        (method.upper(), path)
        for path, methods in json.loads(openapi.document())["paths"].items()
        for method in methods
    }
    assert set(routes()) == described | {("GET", "/openapi.json")}


def test_only_operations_are_open_to_everyone() -> None:
    api = RESOURCES["Api"]["Properties"]["Auth"]
    assert (api["DefaultAuthorizer"], api["ApiKeyRequired"]) == ("AWS_IAM", True)
    for function in FUNCTIONS.values():
        for event in api_events(function):
            properties = event["Properties"]
            assert ("Auth" in properties) == (properties["Path"] in OPEN_PATHS)


def test_callers_are_throttled_and_have_a_quota() -> None:
    api = RESOURCES["Api"]["Properties"]
    plan = api["Auth"]["UsagePlan"]
    assert plan["CreateUsagePlan"] == "PER_API"
    assert plan["Throttle"]["RateLimit"]
    assert plan["Quota"]["Limit"]
    assert all(setting["ThrottlingRateLimit"] for setting in api["MethodSettings"])
    assert not any(setting["DataTraceEnabled"] for setting in api["MethodSettings"])


@pytest.mark.parametrize("kind", RESOURCES["Api"]["Properties"]["GatewayResponses"])
def test_the_gateways_own_errors_are_problems(kind: str) -> None:
    response = RESOURCES["Api"]["Properties"]["GatewayResponses"][kind]
    headers = response["ResponseParameters"]["Headers"]
    template = response["ResponseTemplates"]["application/json"]
    filled = template.replace("$context.error.messageString", '"why"').replace("$context.", "")

    problem = Problem.model_validate_json(filled)
    assert problem.status == response["StatusCode"]
    assert headers["Content-Type"] == f"'{MEDIA_TYPE}'"
    assert ("Retry-After" in headers) == (problem.status in (429, 503))


# --- example events ----------------------------------------------------------------------------------------------


def consumer_of(event: dict[str, Any]) -> str:
    return "TextsFunction" if event["Records"][0]["eventSourceARN"].endswith("texts") else "AbsorbFunction"


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_an_example_event_is_one_that_its_function_gets(path: Path) -> None:
    event = json.loads(path.read_text())
    if "Records" in event:
        assert [from_message(record["body"]).event_id for record in event["Records"]]
        if consumer_of(event) == "AbsorbFunction":
            group = event["Records"][0]["attributes"]["MessageGroupId"]
            assert group == from_message(event["Records"][0]["body"]).user_id
        return
    if "detail-type" in event:
        patterns = [rule["Properties"]["Pattern"] for rule in FUNCTIONS["SourcesFunction"]["Events"].values()]
        assert event["detail-type"] in [kind for pattern in patterns for kind in pattern["detail-type"]]
        if event["detail-type"] == "OrderPlaced":
            OrderPlaced.model_validate(event["detail"])
        return
    assert (event["httpMethod"], event["resource"]) in routes()
    models = {
        "/v1/recommendations": RecommendationRequest, "/v1/events": EventsRequest, "/v1/items/{itemId}": ItemAttributes,
    }  # fmt: skip
    if event["body"] and not path.stem.endswith("-bad"):
        parsed = models[event["resource"]].model_validate_json(event["body"])
        for item in getattr(parsed, "event_list", ()):
            Event.model_validate(item)


def test_every_function_has_an_example_event() -> None:
    events = [json.loads(path.read_text()) for path in EVENTS]
    served = {routes().get((e.get("httpMethod", ""), e.get("resource", ""))) for e in events} - {None}
    served |= {consumer_of(e) for e in events if "Records" in e} | {
        "SourcesFunction" for e in events if "detail-type" in e
    }
    assert served == set(FUNCTIONS)
