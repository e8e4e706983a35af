"""Records of every past version of the event log are still understood, and the versions only grow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fusionrec.contracts.events import Event, EventsRequest
from fusionrec.errors import BadInputError
from fusionrec.event_log import FIELDS, NAMES, VERSION, from_record, to_record
from fusionrec.messages import from_message
from fusionrec.ports import Interaction

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = range(1, VERSION + 1)
FIRST = Interaction("0b9e-1", "4711", "b-90210", "item-01", "view", 1_793_439_000_000)
SECOND = Interaction(
    "0b9e-2", "4711", "b-90210", "日本/茶", "purchase", 1_793_439_060_125, 2.0, "5f0c9c3e-7f0e-4a56-9a55-2f6a3d1c9a10",
    ("item-01", "日本/茶"), "a gift 🎁", {"page": "home"},
)  # fmt: skip


def lines(version: int) -> list[str]:
    return (GOLDEN / f"event-log-v{version}.jsonl").read_text().splitlines()


def records(version: int) -> Iterator[tuple[str, list[Any]]]:
    yield "jsonl", [json.loads(line) for line in lines(version)]
    yield "parquet", pq.read_table(GOLDEN / f"event-log-v{version}.parquet").to_pylist()


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_records_still_parse(version: int) -> None:
    for kind, found in records(version):
        events = [from_record(record) for record in found]
        taken = 250 if version > 1 else None
        for event, expected in zip(events[:2], (FIRST, SECOND), strict=True):
            received_at = expected.sent_at + taken if taken else 0
            assert event == Interaction(**{**_fields(expected), "received_at": received_at}), kind
        assert events[2].group == "session:b-7"
        assert [event.event_type for event in events[3:]] == (["impression"] if version > 1 else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_messages_are_still_taken_off_the_queue(version: int) -> None:
    """A message may wait for four days while a deployment changes the code."""
    assert [from_message(line).event_id for line in lines(version)][:2] == ["0b9e-1", "0b9e-2"]


def test_golden_impressions_still_parse() -> None:
    request = EventsRequest.model_validate_json((GOLDEN / "events-v1-impression.json").read_bytes())
    (event,) = [Event.model_validate(raw) for raw in request.event_list]
    assert (event.event_type, event.item_id, event.impression) == ("impression", None, ("item-01", "item-02"))


def test_each_version_has_the_columns_of_the_one_before_and_its_own() -> None:
    for version in VERSIONS:
        expected = [field.name for field in FIELDS if field.since <= version]
        assert pq.read_schema(GOLDEN / f"event-log-v{version}.parquet").names == expected
    assert all(field.default is not None for field in FIELDS if field.since > 1)


def test_a_record_holds_every_field_of_an_event_and_its_version() -> None:
    told = [field.name for field in fields(Interaction) if field.name != "handed"]  # of copies, which are not logged
    assert [*told, "schema_version"] == list(NAMES)
    record = to_record(SECOND)
    assert record["schema_version"] == VERSION
    assert from_record(json.loads(json.dumps(record))) == SECOND


def test_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    newer = {**to_record(FIRST), "schema_version": VERSION + 1, "colour": "red"}
    assert from_record(newer) == FIRST


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"sent_at": "yesterday"}, "sent_at"),
        ({"sent_at": True}, "sent_at"),
        ({"event_value": float("nan")}, "event_value"),
        ({"impression": "item-01"}, "impression"),
        ({"impression": [1]}, "impression"),
        ({"properties": {"a": 1}}, "properties"),
        ({"item_id": None}, "item_id"),
        ({"schema_version": 0}, "schema_version"),
    ],
)
def test_a_damaged_record_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInputError) as caught:
        from_record({**to_record(FIRST), **change})
    assert caught.value.pointer == field


def _fields(event: Interaction) -> dict[str, Any]:
    return {field.name: getattr(event, field.name) for field in fields(event)}
