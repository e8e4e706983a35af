"""The queue of texts: standard, since neither order nor repetition matters to votes."""

from __future__ import annotations

from collections.abc import Sequence

from fusionrec.adapters.sqs import SqsClient, send_all
from fusionrec.messages import to_message
from fusionrec.ports import Interaction


class TextQueue:
    """One message a text."""

    def __init__(self, client: SqsClient, queue_url: str) -> None:
        self._client, self._queue_url = client, queue_url

    def put(self, events: Sequence[Interaction]) -> None:
        """Raises StoreUnavailableError; some may have been taken: putting all again is safe."""
        entries = [{"Id": str(place), "MessageBody": to_message(event)} for place, event in enumerate(events)]
        send_all(self._client, self._queue_url, entries, "text_queue")
