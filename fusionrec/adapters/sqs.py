"""The FIFO queue of accepted events: one message group a user, so each user has one writer, in order."""

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
BATCH_BYTES: Final = 256 * 1024  # nor more than this in all; one event alone is always shorter
ATTEMPTS: Final = 3


class SqsClient(Protocol):
    def send_message_batch(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def send_message(self, **kwargs: Any) -> Mapping[str, Any]: ...


class SqsSink:
    """Puts events on the queue; a repetition within five minutes is dropped by the queue itself."""

    def __init__(self, client: SqsClient, queue_url: str) -> None:
        self._client, self._queue_url = client, queue_url

    def put(self, messages: Sequence[Message]) -> None:
        """Raises StoreUnavailableError; earlier batches may have been taken: putting all again is safe."""
        for batch in _batches(messages):
            pending = batch
            for _ in range(ATTEMPTS):
                pending = self._send(pending)
                if not pending:
                    break
            else:
                raise StoreUnavailableError("event_queue", f"{len(pending)} of {len(messages)} events were not taken")

    def _send(self, entries: list[dict[str, str]]) -> list[dict[str, str]]:
        """The entries that were not taken. Their order does not matter: the features are a function of the set."""
        try:
            answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("event_queue", type(error).__name__) from error
        failed = {failure["Id"] for failure in answer.get("Failed", ())}
        return [entry for entry in entries if entry["Id"] in failed]


def _batches(messages: Sequence[Message]) -> Iterator[list[dict[str, str]]]:
    """Entries of all events, in order, as few calls as the limits allow."""
    batch: list[dict[str, str]] = []
    n_bytes = 0
    for place, event in enumerate(messages):
        entry = _entry(place, event)
        size = len(entry["MessageBody"].encode())
        if batch and (len(batch) == BATCH or n_bytes + size > BATCH_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(entry)
        n_bytes += size
    if batch:
        yield batch


def _entry(place: int, message: Message) -> dict[str, str]:
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
