"""The FIFO queue of accepted events: one message group a user, so each user has one writer; and sending in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import StoreUnavailableError
from fusionrec.messages import to_message
from fusionrec.ports import Interaction, Message

BATCH: Final = 10  # SQS takes no more in one call
BATCH_BYTES: Final = 256 * 1024  # nor more than this in all; one message alone is always shorter
ATTEMPTS: Final = 3


class SqsClient(Protocol):
    def send_message_batch(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def send_message(self, **kwargs: Any) -> Mapping[str, Any]: ...


Entry = dict[str, str]


def send_all(client: SqsClient, queue_url: str, entries: Sequence[Entry], store: str) -> None:
    """All entries, in as few calls as the queue's limits allow; what it did not take is sent again.

    raises: StoreUnavailableError, after all were tried, or at once when the queue does not answer; some may be taken
    """
    n_refused = 0
    for batch in _batches(entries):
        pending = batch
        for _ in range(ATTEMPTS):
            try:
                answer = client.send_message_batch(QueueUrl=queue_url, Entries=pending)
            except (BotoCoreError, ClientError) as error:
                raise StoreUnavailableError(store, type(error).__name__) from error
            failed = {failure["Id"] for failure in answer.get("Failed", ())}
            pending = [entry for entry in pending if entry["Id"] in failed]
            if not pending:
                break
        n_refused += len(pending)
    if n_refused:
        raise StoreUnavailableError(store, f"{n_refused} of {len(entries)} messages were not taken")


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """In order."""
    batch: list[Entry] = []
    n_bytes = 0
    for entry in entries:
        size = len(entry["MessageBody"].encode())
        if batch and (len(batch) == BATCH or n_bytes + size > BATCH_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(entry)
        n_bytes += size
    if batch:
        yield batch


class SqsSink:
    """Puts events on the queue; a repetition within five minutes is dropped by the queue itself.

    What is sent again comes out of order, which does not matter: the features are a function of the set.
    """

    def __init__(self, client: SqsClient, queue_url: str) -> None:
        self._client, self._queue_url = client, queue_url

    def put(self, messages: Sequence[Message]) -> None:
        """Raises StoreUnavailableError; some may have been taken: putting all again is safe."""
        entries = [_entry(place, message) for place, message in enumerate(messages)]
        send_all(self._client, self._queue_url, entries, "event_queue")


def _entry(place: int, message: Message) -> Entry:
    return {
        "Id": str(place),
        "MessageBody": to_message(message),
        # Ids of shops may hold what SQS does not allow here, and a user's id is nobody's business in a queue's logs.
        "MessageGroupId": _digest(message.group),
        "MessageDeduplicationId": _deduplication_id(message),
    }


def _deduplication_id(message: Message) -> str:
    if isinstance(message, Interaction):
        return _digest(f"{len(message.user_id)}:{message.user_id}{message.event_id}")
    return _digest(f"link:{len(message.user_id)}:{message.user_id}{message.session_id}")  # once in five minutes


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class SqsDeadLetters:
    """The dead-letter queue; the reason travels as an attribute, and redrive shows it."""

    def __init__(self, client: SqsClient, queue_url: str) -> None:
        self._client, self._queue_url = client, queue_url

    def put(self, body: str, group: str, reason: str, detail: str) -> None:
        texts = {"reason": reason, "detail": detail[:512] or "-", "givenUpAt": datetime.now(UTC).isoformat()}
        try:
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=body,
                # What is unreadable is a group by itself, so that it does not hold up its user's letters.
                MessageGroupId=_digest(body) if reason == "unreadable" or not group else group,
                MessageDeduplicationId=_digest(f"{group}{body}"),
                MessageAttributes={k: {"DataType": "String", "StringValue": text} for k, text in texts.items()},
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("dead_letter_queue", type(error).__name__) from error
