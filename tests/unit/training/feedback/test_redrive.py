"""Dead letters go back, with their reasons shown; unreadable ones stay; none is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto import mock_aws

from fusionrec.adapters.local_files import DeadLetterFiles
from fusionrec.adapters.memory import MemorySink
from fusionrec.adapters.sqs import SqsDeadLetters
from fusionrec.errors import StoreUnavailableError
from fusionrec.messages import from_message, to_message
from tests.suites.serving import interaction
from training.feedback.redrive import UNKNOWN, redrive_files, redrive_queue

EVENTS = [interaction(f"e{n}", "item-01", user_id=f"u{n % 3}") for n in range(25)]


def quiet(n_done: int) -> None: ...


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr("training.feedback.redrive.WAIT_S", 0)
    with mock_aws():
        yield botocore.session.get_session().create_client("sqs", region_name="eu-west-1")


def queue(sqs: Any, name: str) -> str:
    url: str = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    return url


def drain(sqs: Any, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
        )
        if not answer.get("Messages"):
            return found
        found += answer["Messages"]
        for message in answer["Messages"]:  # a group waits for its earlier messages
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_readable_letters_go_back_to_their_groups_and_the_others_stay(sqs: Any) -> None:
    main, dead = queue(sqs, "events"), queue(sqs, "dead")
    letters = SqsDeadLetters(sqs, dead)
    letters.put("{", "u0", "unreadable", "not an event message")
    for event in EVENTS:
        letters.put(to_message(event), event.user_id, "unavailable", "user_session: throttled")
    moved = interaction("moved by the queue", "item-01")
    sqs.send_message(QueueUrl=dead, MessageBody=to_message(moved), MessageGroupId="u", MessageDeduplicationId="m")

    outcome = redrive_queue(sqs, dead, main, quiet)

    assert outcome.returned == {"unavailable": 25, UNKNOWN: 1}
    assert outcome.stayed == {"unreadable": 1}
    assert outcome.details == {"unreadable": "not an event message"}
    back = drain(sqs, main)
    assert sorted(from_message(m["Body"]).event_id for m in back) == sorted(e.event_id for e in [*EVENTS, moved])
    assert all(m["Attributes"]["MessageGroupId"] == from_message(m["Body"]).user_id for m in back)
    assert back[0]["MessageAttributes"]["redrivenAfter"]["StringValue"] in ("unavailable", UNKNOWN)
    assert [m["Body"] for m in drain(sqs, dead)] == ["{"]  # visible again


def test_a_list_moves_nothing(sqs: Any) -> None:
    main, dead = queue(sqs, "events"), queue(sqs, "dead")
    for event in EVENTS:
        SqsDeadLetters(sqs, dead).put(to_message(event), event.user_id, "failed", "KeyError")
    outcome = redrive_queue(sqs, dead, main, quiet, only_list=True)
    assert outcome.n_waiting == 25
    assert 0 < outcome.stayed["failed"] <= 25  # a group shows no more than its first ten while they are looked at
    assert drain(sqs, main) == []
    assert len(drain(sqs, dead)) == 25


def test_a_letter_leaves_only_when_it_was_taken(sqs: Any) -> None:
    dead = queue(sqs, "dead")
    SqsDeadLetters(sqs, dead).put(to_message(EVENTS[0]), "u0", "failed", "KeyError")
    with pytest.raises(Exception, match="NonExistentQueue"):
        redrive_queue(sqs, dead, "https://sqs.eu-west-1.amazonaws.com/123456789012/gone.fifo", quiet)
    attributes = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=attributes)["Attributes"]
    assert sum(int(count) for count in counts.values()) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    letters = DeadLetterFiles(tmp_path / "dead")
    letters.put("{", "u0", "unreadable", "not an event message")
    for event in EVENTS[:3]:
        letters.put(to_message(event), event.user_id, "failed", "KeyError: 'event_ids'")
    return tmp_path / "dead"


def bodies(folder: Path) -> list[str]:
    return [json.loads(line)["body"] for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def test_local_letters_are_taken_and_unreadable_ones_kept(folder: Path) -> None:
    sink = MemorySink()
    outcome = redrive_files(folder, sink, DeadLetterFiles(folder), quiet)
    assert sink.taken == EVENTS[:3]
    assert (outcome.returned, outcome.stayed) == ({"failed": 3}, {"unreadable": 1})
    assert bodies(folder) == ["{"]


def test_an_interrupted_local_redrive_loses_no_letter(folder: Path) -> None:
    sink = MemorySink(unreachable=True)
    with pytest.raises(StoreUnavailableError):
        redrive_files(folder, sink, DeadLetterFiles(folder), quiet)
    DeadLetterFiles(folder).put(to_message(EVENTS[5]), "u2", "failed", "new")  # the server goes on
    sink.unreachable = False
    redrive_files(folder, sink, DeadLetterFiles(folder), quiet)
    assert {event.event_id for event in sink.taken} == {"e0", "e1", "e2", "e5"}
    assert set(bodies(folder)) == {"{"}


def test_no_letters_are_no_error(tmp_path: Path) -> None:
    assert redrive_files(tmp_path / "none", MemorySink(), DeadLetterFiles(tmp_path), quiet).n_done == 0
