"""Firehose streams: the slate log and the raw event log on their way to S3."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.messages import to_message
from fusionrec.observability import logger
from fusionrec.ports import EventSink, Interaction


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


class FirehoseLoggingSink:
    """Hands events on, then logs them raw. The queue is the truth: a failed log is reported, not raised."""

    def __init__(self, sink: EventSink, client: FirehoseClient, stream: str) -> None:
        self._sink, self._client, self._stream = sink, client, stream

    def put(self, events: Sequence[Interaction]) -> None:
        self._sink.put(events)
        records = [{"Data": (to_message(event) + "\n").encode()} for event in events]
        try:
            answer = self._client.put_record_batch(DeliveryStreamName=self._stream, Records=records)
        except (BotoCoreError, ClientError) as error:
            logger.error("raw event log unreachable", extra={"detail": type(error).__name__, "n_events": len(events)})
            return
        if answer.get("FailedPutCount"):
            logger.error("raw events not logged", extra={"n_events": answer["FailedPutCount"]})
