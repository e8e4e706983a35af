"""Local places: bundles in folders, logs as JSON lines, events absorbed at once instead of queued."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from fusionrec.errors import BundleMissingError, StoreUnavailableError
from fusionrec.event_log import to_record
from fusionrec.messages import to_message
from fusionrec.ports import DeadLetters, EventSink, Interaction, Message


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

    def discard(self, folder: Path) -> None:
        """Nothing: it is no copy."""


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
            with path.open("ab") as file:
                file.write(_line_break(path).encode() + text.encode("utf-8", "backslashreplace"))


def _line_break(path: Path) -> str:
    """What a process that was killed while it wrote left open must not swallow the next record."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return ""
        file.seek(-1, os.SEEK_END)
        return "" if file.read(1) == b"\n" else "\n"


class SlateFile:
    """The slate log in JSON lines."""

    def __init__(self, folder: Path) -> None:
        self._lines = JsonLines(folder)

    def record(self, slate: Mapping[str, Any]) -> None:
        self._lines.append([slate])


class EventFiles:
    """The raw event log in JSON lines, one file a day of receipt."""

    def __init__(self, folder: Path) -> None:
        self._lines = JsonLines(folder)

    def append(self, events: Sequence[Interaction]) -> None:
        try:
            self._lines.append(to_record(event) for event in events)
        except OSError as error:
            raise StoreUnavailableError("event_log", f"{error.strerror}: {error.filename}") from error


class DeadLetterFiles:
    """Messages that were given up, in JSON lines: body, group, reason, detail, givenUpAt."""

    def __init__(self, folder: Path) -> None:
        self._lines = JsonLines(folder)

    def put(self, body: str, group: str, reason: str, detail: str) -> None:
        letter = {"body": body, "group": group, "reason": reason, "detail": detail}
        try:
            self._lines.append([{**letter, "givenUpAt": datetime.now(UTC).isoformat()}])
        except OSError as error:
            raise StoreUnavailableError("dead_letters", f"{error.strerror}: {error.filename}") from error


class Absorbs(Protocol):
    """Folds a group's messages into its row."""

    def absorb(self, key: str, messages: Sequence[Message], onward: EventSink | None = None) -> None: ...


class DirectSink:
    """Instead of a queue: the consumer itself, one user after another, so that the next request sees the event.

    A store that is away is the caller's to know. Anything else that is wrong with a user's row or events is what the
    queue would give up in the end: its messages become dead letters, and the caller is not held up.
    """

    def __init__(self, absorber: Absorbs, dead_letters: DeadLetters | None = None) -> None:
        self._absorber, self._dead_letters = absorber, dead_letters
        # One writer, as the queue's message groups guarantee in the cloud; a session hands events on to its user.
        self._lock = threading.RLock()

    def put(self, messages: Sequence[Message]) -> None:
        with self._lock:
            for group, found in groupby(messages, key=lambda message: message.group):
                self._absorb(group, list(found))

    def _absorb(self, group: str, messages: list[Message]) -> None:
        try:
            self._absorber.absorb(group, messages, self)
        except StoreUnavailableError:
            raise
        except Exception as error:  # whatever a damaged row raises
            if self._dead_letters is None:
                raise
            for message in messages:
                self._dead_letters.put(to_message(message), group, "failed", f"{type(error).__name__}: {error}")
