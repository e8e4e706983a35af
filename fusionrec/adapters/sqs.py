"""The FIFO queue of accepted events: one message group a user, so each user has one writer, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import StoreUnavailableError
from fusionrec.messages import to_message
from fusionrec.ports import Interaction

BATCH: Final = 10  # SQS takes no more in one call
BATCH_BYTES: Final = 256 * 1024  # nor more than this in all; one event alone is always shorter
ATTEMPTS: Final = 3


class SqsClient(Protocol):
    def send_message_batch(self, **kwargs: Any) -> Mapping[str, Any]: ...


class SqsSink:
    """Puts events on the queue; a repetition within five minutes is dropped by the queue itself."""

    def __init__(self, client: SqsClient, queue_url: str) -> None:
        self._client, self._queue_url = client, queue_url

    def put(self, events: Sequence[Interaction]) -> None:
        """Raises StoreUnavailableError; earlier batches may have been taken: putting all again is safe."""
        for batch in _batches(events):
            pending = batch
            for _ in range(ATTEMPTS):
                pending = self._send(pending)
                if not pending:
                    break
            else:
                raise StoreUnavailableError("event_queue", f"{len(pending)} of {len(events)} events were not taken")

    def _send(self, entries: list[dict[str, str]]) -> list[dict[str, str]]:
        """The entries that were not taken. Their order does not matter: the features are a function of the set."""
        try:
            answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("event_queue", type(error).__name__) from error
        failed = {failure["Id"] for failure in answer.get("Failed", ())}
        return [entry for entry in entries if entry["Id"] in failed]


def _batches(events: Sequence[Interaction]) -> Iterator[list[dict[str, str]]]:
    """Entries of all events, in order, as few calls as the limits allow."""
    batch: list[dict[str, str]] = []
    n_bytes = 0
    for place, event in enumerate(events):
        entry = _entry(place, event)
        size = len(entry["MessageBody"].encode())
        if batch and (len(batch) == BATCH or n_bytes + size > BATCH_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(entry)
        n_bytes += size
    if batch:
        yield batch


def _entry(place: int, event: Interaction) -> dict[str, str]:
    return {
        "Id": str(place),
        "MessageBody": to_message(event),
        # Ids of shops may hold what SQS does not allow here, and a user's id is nobody's business in a queue's logs.
        "MessageGroupId": _digest(event.user_id),
        "MessageDeduplicationId": _digest(f"{len(event.user_id)}:{event.user_id}{event.event_id}"),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
