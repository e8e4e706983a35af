"""Firehose streams: the slate log and the raw event log on their way to S3."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import StoreUnavailableError
from fusionrec.messages import to_message
from fusionrec.ports import Interaction

ATTEMPTS: Final = 3


class FirehoseClient(Protocol):
    def put_record(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def put_record_batch(self, **kwargs: Any) -> Mapping[str, Any]: ...


class FirehoseSlates:
    """One record a slate."""

    def __init__(self, client: FirehoseClient, stream: str) -> None:
        self._client, self._stream = client, stream

    def record(self, slate: Mapping[str, Any]) -> None:
        text = json.dumps(slate, ensure_ascii=False, separators=(",", ":")) + "\n"
        self._client.put_record(DeliveryStreamName=self._stream, Record={"Data": text.encode()})


class FirehoseEvents:
    """The raw event log. What Firehose took reaches S3 at least once; what it did not take is an error of the caller's
    request, who sends again: the log must not lack what became a feature."""

    def __init__(self, client: FirehoseClient, stream: str) -> None:
        self._client, self._stream = client, stream

    def append(self, events: Sequence[Interaction]) -> None:
        pending = [{"Data": (to_message(event) + "\n").encode()} for event in events]
        for _ in range(ATTEMPTS):
            try:
                answer = self._client.put_record_batch(DeliveryStreamName=self._stream, Records=pending)
            except (BotoCoreError, ClientError) as error:
                raise StoreUnavailableError("event_log", type(error).__name__) from error
            if not answer.get("FailedPutCount"):
                return
            outcomes = zip(pending, answer["RequestResponses"], strict=True)
            pending = [record for record, outcome in outcomes if outcome.get("ErrorCode")]
        raise StoreUnavailableError("event_log", f"{len(pending)} of {len(events)} events were not taken")
