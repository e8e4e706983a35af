"""The published description is current, and what clients of version 1 send is still understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from functions.openapi import document
from fusionrec.contracts.events import Event, EventsRequest
from fusionrec.contracts.recommendations import RecommendationRequest

GOLDEN = Path(__file__).parent / "golden"


def test_the_published_description_is_current() -> None:
    assert Path("docs/openapi.json").read_text() == document(), "run `python -m functions.openapi docs/openapi.json`"


def test_the_description_is_valid_openapi() -> None:
    validate(json.loads(document()))


def test_every_operation_describes_its_errors_as_problems() -> None:
    described = json.loads(document())
    assert set(described["paths"]) == {
        "/v1/recommendations", "/v1/items/{itemId}", "/v1/items/{itemId}/similar", "/v1/trending", "/v1/events",
        "/v1/users/{userId}/profile", "/health/live", "/health/ready",
    }  # fmt: skip
    for operations in described["paths"].values():
        for operation in operations.values():
            assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in json.dumps(described)


def test_golden_events_still_parse() -> None:
    request = EventsRequest.model_validate_json((GOLDEN / "events-v1.json").read_bytes())
    events = [Event.model_validate(raw) for raw in request.event_list]
    assert [event.event_type for event in events] == ["view", "purchase", "rating"]
    assert [event.event_value for event in events] == [1.0, 2.0, 4.5]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("recommendations-*.json")), ids=lambda path: path.stem)
def test_golden_requests_still_parse(path: Path) -> None:
    fields = json.loads(path.read_bytes())
    request = RecommendationRequest.model_validate(fields)
    assert request.model_dump(by_alias=True, mode="json") == fields
