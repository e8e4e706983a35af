"""The queue of texts: standard, since neither order nor repetition matters to votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import StoreUnavailableError
from fusionrec.messages import to_message
from fusionrec.ports import Interaction

BATCH: Final = 10


class SqsClient(Protocol):
    def send_message_batch(self, **kwargs: Any) -> Mapping[str, Any]: ...


class TextQueue:
    """One message a text."""

    def __init__(self, client: SqsClient, queue_url: str) -> None:
        self._client, self._queue_url = client, queue_url

    def put(self, events: Sequence[Interaction]) -> None:
        """Raises StoreUnavailableError, after all were tried."""
        n_failed = 0
        for start in range(0, len(events), BATCH):
            entries = [
                {"Id": str(place), "MessageBody": to_message(event)}
                for place, event in enumerate(events[start : start + BATCH])
            ]
            try:
                answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
                n_failed += len(answer.get("Failed", ()))
            except (BotoCoreError, ClientError):
                n_failed += len(entries)
        if n_failed:
            raise StoreUnavailableError("text_queue", f"{n_failed} of {len(events)} texts were not taken")
