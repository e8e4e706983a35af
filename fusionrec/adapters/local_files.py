"""Local places: bundles in folders, logs as JSON lines, events absorbed at once instead of queued."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from fusionrec.errors import BundleMissingError
from fusionrec.messages import to_fields
from fusionrec.ports import EventSink, Interaction


class FolderBundles:
    """`<folder>/<version>/`, and the promoted version in the text file `<folder>/current`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def promoted(self) -> str:
        try:
            version = (self._folder / "current").read_text().strip()
        except OSError:
            raise BundleMissingError(f"no promoted bundle in {self._folder}; run `fusionrec train`") from None
        if version in ("", ".", "..") or Path(version).name != version:
            raise BundleMissingError(f"{self._folder / 'current'} names no version; promote a bundle again")
        return version

    def fetch(self, version: str | None = None) -> Path:
        folder = self._folder / (version or self.promoted())
        if not folder.is_dir():
            raise BundleMissingError(f"there is no bundle {folder.name!r} in {self._folder}; train or promote another")
        return folder


class JsonLines:
    """Appends records to `<folder>/<day>.jsonl`, one line each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in records)
        path = self._folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)


class SlateFile:
    """The slate log in JSON lines."""

    def __init__(self, folder: Path) -> None:
        self._lines = JsonLines(folder)

    def record(self, slate: Mapping[str, Any]) -> None:
        self._lines.append([slate])


class LoggingSink:
    """Hands events on, then keeps them in the raw log: an event that was refused must not be in the log."""

    def __init__(self, sink: EventSink, folder: Path) -> None:
        self._sink = sink
        self._lines = JsonLines(folder)

    def put(self, events: Sequence[Interaction]) -> None:
        self._sink.put(events)
        self._lines.append(to_fields(event) for event in events)


class Absorbs(Protocol):
    """The consumer of the queue."""

    def absorb(self, user_id: str, events: Sequence[Interaction]) -> None: ...


class DirectSink:
    """Instead of a queue: the consumer itself, one user after another, so that the next request sees the event."""

    def __init__(self, absorber: Absorbs) -> None:
        self._absorber = absorber
        self._lock = threading.Lock()  # one writer, as the queue's message groups guarantee in the cloud

    def put(self, events: Sequence[Interaction]) -> None:
        with self._lock:
            for user_id, group in groupby(events, key=lambda event: event.user_id):
                self._absorber.absorb(user_id, list(group))
