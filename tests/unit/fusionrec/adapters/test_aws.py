"""SQS and Firehose adapters against moto, in this process."""

from __future__ import annotations

import json
import re
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import EndpointConnectionError

from fusionrec.adapters.firehose import FirehoseEvents
from fusionrec.adapters.sqs import BATCH_BYTES, SqsDeadLetters, SqsSink
from fusionrec.adapters.text_queue import TextQueue
from fusionrec.errors import BadInputError, StoreUnavailableError
from fusionrec.event_log import VERSION, from_record
from fusionrec.messages import from_message, to_message
from fusionrec.ports import Interaction, SessionLink
from tests.suites.serving import interaction

EVENTS = [
    interaction(f"e{n}/日本", "item-01", user_id=f"Zoë {n % 3}", impression=("a", "b"), properties={"k": "v"})
    for n in range(25)
]


pytestmark = pytest.mark.usefixtures("aws")


def client(service: str) -> Any:
    return botocore.session.get_session().create_client(service, region_name="eu-west-1")


def test_events_arrive_whole_in_one_group_a_user() -> None:
    sqs = client("sqs")
    url = sqs.create_queue(QueueName="events.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    SqsSink(sqs, url).put(EVENTS)
    SqsSink(sqs, url).put(EVENTS[:5])  # sent again after a lost answer: the queue drops it
    taken, groups = [], {}
    while True:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])
        if "Messages" not in answer:
            break
        for message in answer["Messages"]:
            event = from_message(message["Body"])
            taken.append(event)
            groups.setdefault(message["Attributes"]["MessageGroupId"], set()).add(event.user_id)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert sorted(taken, key=lambda event: event.event_id) == sorted(EVENTS, key=lambda event: event.event_id)
    assert sorted(map(len, groups.values())) == [1, 1, 1]


@pytest.mark.parametrize("queue", [SqsSink, TextQueue])
def test_entries_that_failed_are_sent_again_and_given_up_in_the_end(queue: Any) -> None:
    class Flaky:
        def __init__(self, failures: int) -> None:
            self.failures, self.sent = failures, []

        def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
            self.sent.append([entry["Id"] for entry in Entries])
            if self.failures > 0:
                self.failures -= 1
                return {"Failed": [{"Id": "1"}]}
            return {}

    flaky = Flaky(1)
    queue(flaky, "url").put(EVENTS[:3])
    assert flaky.sent == [["0", "1", "2"], ["1"]]
    with pytest.raises(StoreUnavailableError, match="1 of 3 messages"):
        queue(Flaky(99), "url").put(EVENTS[:3])


@pytest.mark.parametrize("kind", [SqsSink, TextQueue])
def test_long_events_go_in_calls_that_the_queue_takes(kind: Any) -> None:
    class Limited:
        def __init__(self) -> None:
            self.sent: list[str] = []

        def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
            assert len(Entries) <= 10
            assert len({entry["Id"] for entry in Entries}) == len(Entries)
            assert sum(len(entry["MessageBody"].encode()) for entry in Entries) <= 262_144
            self.sent += [from_message(entry["MessageBody"]).event_id for entry in Entries]
            return {}

    queue, impression = Limited(), tuple("日" * 250 + str(n) for n in range(100))  # 75 kB an event
    long = [interaction(f"e{n}", "item-01", impression=impression) for n in range(12)]
    kind(queue, "url").put([*long, *EVENTS])
    assert queue.sent == [event.event_id for event in [*long, *EVENTS]]


def test_characters_that_sqs_refuses_are_escaped_and_come_back() -> None:
    odd = interaction("\ufffe\uffff\x00\x1f\x7f", "🛒\uffff", properties={"\uffff": "\b\ud800"})
    text = to_message(odd)
    allowed = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")  # the manual of SendMessage
    assert allowed.fullmatch(text)
    assert from_message(text) == odd


@pytest.mark.parametrize("character", ["\uffff", "\x00", "🛒", '"'])
def test_the_longest_event_fits_into_one_message(character: str) -> None:
    long = character * 256
    event = Interaction(
        event_id=character * 128, user_id=long, session_id=long, item_id=long, event_type="purchase", sent_at=2**53,
        event_value=1e9, recommendation_id=long, impression=(long,) * 100, text=character * 2000,
        properties={long[:-2] + f"{n:02d}": long for n in range(20)},
    )  # fmt: skip
    assert len(to_message(event).encode()) <= BATCH_BYTES


def test_a_missing_queue_is_a_store_that_is_away() -> None:
    with pytest.raises(StoreUnavailableError, match="event_queue"):
        SqsSink(client("sqs"), "https://sqs.eu-west-1.amazonaws.com/123456789012/gone.fifo").put(EVENTS[:1])


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '{"event_id": 1}', to_message(EVENTS[0])[:-9]])
def test_a_foreign_message_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        from_message(text)


def test_a_field_of_the_wrong_type_is_refused() -> None:
    fields = json.loads(to_message(EVENTS[0]))
    with pytest.raises(BadInputError):
        from_message(json.dumps({**fields, "sent_at": "yesterday"}))


class Stream:
    """Takes what its turn says: an error, or how many records it refuses."""

    def __init__(self, *turns: Any) -> None:
        self.turns, self.taken = list(turns), []

    def put_record_batch(self, **kwargs: Any) -> Any:
        turn = self.turns.pop(0) if self.turns else 0
        if isinstance(turn, Exception):
            raise turn
        records = kwargs["Records"]
        self.taken += [json.loads(record["Data"]) for record in records[turn:]]
        outcomes = [{"ErrorCode": "Slow"} if n < turn else {"RecordId": str(n)} for n in range(len(records))]
        return {"FailedPutCount": turn, "RequestResponses": outcomes}


def test_events_are_logged_as_records_of_the_current_version() -> None:
    stream = Stream()
    FirehoseEvents(stream, "events").append(EVENTS)
    assert [from_record(record) for record in stream.taken] == EVENTS
    assert {record["schema_version"] for record in stream.taken} == {VERSION}


def test_records_that_the_stream_refused_are_sent_again() -> None:
    stream = Stream(3, 1)
    FirehoseEvents(stream, "events").append(EVENTS)
    assert sorted(record["event_id"] for record in stream.taken) == sorted(event.event_id for event in EVENTS)


@pytest.mark.parametrize("turns", [[EndpointConnectionError(endpoint_url="http://firehose")], [25, 25, 25]])
def test_a_raw_log_that_takes_nothing_refuses_the_events(turns: list[Any]) -> None:
    with pytest.raises(StoreUnavailableError, match="event_log"):
        FirehoseEvents(Stream(*turns), "events").append(EVENTS)


def test_a_dead_letter_carries_its_reason() -> None:
    sqs = client("sqs")
    url = sqs.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    SqsDeadLetters(sqs, url).put("{", "group", "failed", "x" * 2000)
    (letter,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], AttributeNames=["All"])["Messages"]
    assert (letter["Body"], letter["Attributes"]["MessageGroupId"]) == ("{", "group")
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "failed"
    assert letter["MessageAttributes"]["detail"]["StringValue"] == "x" * 512


def test_a_log_in_goes_to_the_group_of_its_session() -> None:
    sqs = client("sqs")
    url = sqs.create_queue(QueueName="events.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    link = SessionLink("s/1", "u", 5)
    SqsSink(sqs, url).put([link, interaction("e", "item-01", user_id="session:s/1"), link])
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])["Messages"]
    assert from_message(messages[0]["Body"]) == link
    assert len(messages) == 2
    assert len({message["Attributes"]["MessageGroupId"] for message in messages}) == 1
