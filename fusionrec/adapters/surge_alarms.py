"""Surges of negative sentiment: events on the event bus in the cloud, lines of a file locally; a log line always."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.adapters.local_files import JsonLines
from fusionrec.errors import StoreUnavailableError
from fusionrec.observability import logger

SOURCE: Final = "fusionrec"
DETAIL_TYPE: Final = "SentimentSurge"


class EventsClient(Protocol):
    def put_events(self, **kwargs: Any) -> Mapping[str, Any]: ...


class BusAlarms:
    """The account's default bus; a rule of the shop's decides who hears of it."""

    def __init__(self, client: EventsClient) -> None:
        self._client = client

    def tell(self, alarm: Mapping[str, Any]) -> None:
        _log(alarm)
        entry = {
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Detail": json.dumps(alarm, ensure_ascii=False),
            "Time": datetime.fromtimestamp(alarm["at"] / 1000, UTC),
        }
        try:
            answer = self._client.put_events(Entries=[entry])
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("event_bus", type(error).__name__) from error
        if answer["FailedEntryCount"]:
            raise StoreUnavailableError("event_bus", str(answer["Entries"][0].get("ErrorCode")))


class AlarmFiles:
    """JSON lines, one file a day."""

    def __init__(self, folder: Path) -> None:
        self._lines = JsonLines(folder)

    def tell(self, alarm: Mapping[str, Any]) -> None:
        _log(alarm)
        try:
            self._lines.append([alarm])
        except OSError as error:
            raise StoreUnavailableError("alarms", f"{error.strerror}: {error.filename}") from error


def _log(alarm: Mapping[str, Any]) -> None:
    fields = {name: value for name, value in alarm.items() if name != "name"}
    logger.warning("sentiment surge", extra={**fields, "thing": alarm["name"]})  # `name` is the logger's own
