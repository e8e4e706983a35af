"""The fakes behind reviews and comments: votes, alarms and the queue of texts, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fusionrec.errors import StoreUnavailableError
from fusionrec.ports import Interaction


class MemoryVotes:
    """Rows of text votes; `before_write` lets a test put another writer in between."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.unreachable = False
        self.before_write: Callable[[], None] = lambda: None

    def read(self, key: str) -> bytes:
        if self.unreachable:
            raise StoreUnavailableError("text_votes", "unreachable")
        return self.rows.get(key, b"")

    def write(self, key: str, row: bytes, replacing: bytes) -> bool:
        self.before_write()
        if self.rows.get(key, b"") != replacing:
            return False
        self.rows[key] = row
        return True


class MemoryAlarms:
    def __init__(self) -> None:
        self.told: list[Mapping[str, Any]] = []

    def tell(self, alarm: Mapping[str, Any]) -> None:
        self.told.append(alarm)


class MemoryTexts:
    """The queue of texts."""

    def __init__(self) -> None:
        self.events: list[Interaction] = []
        self.unreachable = False

    def put(self, events: Sequence[Interaction]) -> None:
        if self.unreachable:
            raise StoreUnavailableError("text_queue", "unreachable")
        self.events += events
