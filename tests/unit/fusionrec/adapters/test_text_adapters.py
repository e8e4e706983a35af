"""The votes' stores, fake and real, pass one suite; the queue and the bus are asked as AWS wants it."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from fusionrec.adapters.memory import MemoryVotes
from fusionrec.adapters.surge_alarms import AlarmFiles, BusAlarms
from fusionrec.adapters.text_queue import TextQueue
from fusionrec.adapters.text_votes import DynamoVotes, SqliteVotes
from fusionrec.errors import StoreUnavailableError
from fusionrec.messages import from_message
from fusionrec.ports import Interaction

ALARM = {"alarmId": "item:x@1", "kind": "item", "name": "x", "at": 1_760_000_000_000}


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
def votes(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if request.param == "memory":
        yield MemoryVotes()
    elif request.param == "sqlite":
        yield SqliteVotes(tmp_path / "log" / "votes.db")
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "none")
        with mock_aws():
            client = boto3.client("dynamodb", region_name="eu-west-1")
            client.create_table(
                TableName="shop.text_votes",
                KeySchema=[{"AttributeName": "entity_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "entity_id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            yield DynamoVotes(client, "shop")


def test_a_row_is_written_only_over_the_one_that_was_read(votes) -> None:
    assert votes.read("item:a") == b""
    assert votes.write("item:a", b"1", replacing=b"")
    assert not votes.write("item:a", b"2", replacing=b"")
    assert not votes.write("item:a", b"2", replacing=b"other")
    assert votes.write("item:a", b"22", replacing=b"1")
    assert votes.read("item:a") == b"22"
    assert votes.read("item:b") == b""


def test_a_missing_table_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    with mock_aws():
        gone = DynamoVotes(boto3.client("dynamodb", region_name="eu-west-1"), "gone")
        with pytest.raises(StoreUnavailableError):
            gone.read("a")
        with pytest.raises(StoreUnavailableError):
            gone.write("a", b"1", b"")


class Sqs:
    def __init__(self, n_refused: int = 0) -> None:
        self.bodies: list[str] = []
        self.n_refused = n_refused

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict]) -> dict:  # noqa: N803
        assert len(Entries) <= 10
        self.bodies += [entry["MessageBody"] for entry in Entries]
        return {"Failed": Entries[: self.n_refused]}


def test_the_queue_takes_ten_texts_a_call() -> None:
    events = [Interaction(f"e{n}", "u", "s", "i", "rating", n, text="so-so") for n in range(23)]
    sqs = Sqs()
    TextQueue(sqs, "url").put(events)
    assert [from_message(body) for body in sqs.bodies] == events
    with pytest.raises(StoreUnavailableError, match="3 of 23"):
        TextQueue(Sqs(n_refused=1), "url").put(events)


class Bus:
    def __init__(self, n_failed: int = 0) -> None:
        self.entries: list[dict] = []
        self.n_failed = n_failed

    def put_events(self, *, Entries: list[dict]) -> dict:  # noqa: N803
        self.entries += Entries
        return {"FailedEntryCount": self.n_failed, "Entries": [{"ErrorCode": "ThrottlingException"}]}


def test_a_surge_is_an_event_on_the_bus() -> None:
    bus = Bus()
    BusAlarms(bus).tell(ALARM)
    (entry,) = bus.entries
    assert (entry["Source"], entry["DetailType"], json.loads(entry["Detail"])) == (
        "fusionrec",
        "SentimentSurge",
        ALARM,
    )
    with pytest.raises(StoreUnavailableError, match="Throttling"):
        BusAlarms(Bus(n_failed=1)).tell(ALARM)


def test_locally_a_surge_is_a_line_of_a_file(tmp_path: Path) -> None:
    AlarmFiles(tmp_path / "alarms").tell(ALARM)
    (path,) = (tmp_path / "alarms").iterdir()
    assert json.loads(path.read_text()) == ALARM
