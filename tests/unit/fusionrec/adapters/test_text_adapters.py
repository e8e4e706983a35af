"""The votes' stores, fake and real, pass one suite; the queue and the bus are asked as AWS wants it."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from fusionrec.adapters.memory_texts import MemoryVotes
from fusionrec.adapters.surge_alarms import AlarmFiles, BusAlarms
from fusionrec.adapters.text_models import open_text_model
from fusionrec.adapters.text_queue import TextQueue
from fusionrec.adapters.text_votes import DynamoVotes, SqliteVotes
from fusionrec.errors import BundleMissingError, BundleTamperedError, StoreUnavailableError
from fusionrec.messages import from_message
from fusionrec.ports import Interaction
from fusionrec.text.scoring import PACKAGED

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


class TestTextModel:
    """Where it comes from; the one in the bucket is the one that is shipped, under another prefix."""

    @pytest.fixture
    def s3(self, monkeypatch: pytest.MonkeyPatch):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "none")
        with mock_aws():
            client = boto3.client("s3", region_name="us-east-1")
            client.create_bucket(Bucket="shop")
            for path in PACKAGED.iterdir():
                client.put_object(Bucket="shop", Key=f"text-model/{path.name}", Body=path.read_bytes())
            yield client

    def test_from_a_bucket_a_folder_or_beside_the_code(self, s3) -> None:
        made = [open_text_model(uri, lambda: s3) for uri in ("s3://shop/text-model/", str(PACKAGED), "")]
        scores = [model.score(["It broke after a day, terrible quality."]) for model in made]
        assert scores[0] == scores[1] == scores[2]
        assert scores[0][0].sentiment == "negative"

    def test_s3_is_asked_only_where_it_is_named(self) -> None:
        def no_client():
            raise AssertionError("nothing is to be asked")

        assert open_text_model("", no_client).version

    def test_what_is_not_there_or_not_its_cards_is_refused(self, s3) -> None:
        with pytest.raises(BundleMissingError, match="s3://shop/elsewhere/model"):
            open_text_model("s3://shop/elsewhere", lambda: s3)
        with pytest.raises(BundleMissingError, match="is not there"):
            open_text_model("s3://nobodys-bucket/x", lambda: s3)
        s3.put_object(Bucket="shop", Key="text-model/sentiment.onnx", Body=b"another graph")
        with pytest.raises(BundleTamperedError):
            open_text_model("s3://shop/text-model", lambda: s3)

    def test_a_bucket_that_is_away_is_said_to_be(self) -> None:
        class Away:
            def get_object(self, **kwargs):
                raise EndpointConnectionError(endpoint_url="http://s3")

        with pytest.raises(StoreUnavailableError, match="EndpointConnectionError"):
            open_text_model("s3://shop/text-model", Away)


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
