"""The fakes: everything in this process. They pass the same suites as the real adapters."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fusionrec.adapters.clock import Countdown
from fusionrec.adapters.expiry import is_expired
from fusionrec.errors import BundleMissingError, StoreUnavailableError
from fusionrec.feature_spec import USER_PROFILE, USER_SESSION, FeatureView
from fusionrec.ports import Clock, Deadline, Interaction, Message, Row, SessionLink, Touch, UserState, default_row
from fusionrec.trending import WORTH


class FixedClock:
    """Stands still until it is moved; its deadlines do not expire."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def move(self, by: timedelta) -> None:
        self._now += by

    def deadline(self, budget_ms: float) -> Deadline:
        return Countdown(budget_ms, timer=lambda: 0.0)


class MemoryFeatures:
    """Both views in two dictionaries; reads, and writes with the newest winning."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[str, dict[str, tuple[int, Row]]] = {USER_PROFILE.name: {}, USER_SESSION.name: {}}
        self._lock = threading.Lock()
        self.unreachable: set[str] = set()  # views whose reads and writes fail, for tests

    def read(self, user_id: str, deadline: Deadline) -> UserState:
        late = deadline.remaining_ms() <= 0
        missing = tuple(view for view in self._rows if late or view in self.unreachable)
        rows = {view.name: self._row(view, user_id, missing) for view in (USER_PROFILE, USER_SESSION)}
        return UserState(rows[USER_PROFILE.name], rows[USER_SESSION.name], missing)

    def _row(self, view: FeatureView, user_id: str, missing: Sequence[str]) -> Row:
        found = self._rows[view.name].get(user_id)
        if found is None or view.name in missing or is_expired(view, found[0], self._clock.now()):
            return default_row(view)
        return found[1]

    def write(self, user_id: str, row: Row, event_at: int, replacing: Row | None = None) -> None:
        held = self._row(USER_SESSION, user_id, ())
        if replacing is not None and held["event_ids"] != replacing["event_ids"]:
            raise StoreUnavailableError(USER_SESSION.name, "another writer changed the row")
        self.put(USER_SESSION, user_id, row, event_at)

    def put(self, view: FeatureView, user_id: str, row: Row, event_at: int) -> None:
        if view.name in self.unreachable:
            raise StoreUnavailableError(view.name, "unreachable")
        with self._lock:
            known = self._rows[view.name].get(user_id)
            if known is None or known[0] <= event_at:
                self._rows[view.name][user_id] = (event_at, {**default_row(view), **row})


@dataclass
class MemorySink:
    """Keeps what was accepted: events in `taken`, log-ins in `links`."""

    taken: list[Interaction] = field(default_factory=list)
    links: list[SessionLink] = field(default_factory=list)
    unreachable: bool = False

    def put(self, messages: Sequence[Message]) -> None:
        if self.unreachable:
            raise StoreUnavailableError("event_queue", "unreachable")
        self.taken.extend(message for message in messages if isinstance(message, Interaction))
        self.links.extend(message for message in messages if isinstance(message, SessionLink))


@dataclass
class MemoryLog:
    """Keeps what was logged."""

    events: list[Interaction] = field(default_factory=list)
    unreachable: bool = False

    def append(self, events: Sequence[Interaction]) -> None:
        if self.unreachable:
            raise StoreUnavailableError("event_log", "unreachable")
        self.events.extend(events)


@dataclass
class MemoryLinks:
    """session → users."""

    by_session: dict[str, set[str]] = field(default_factory=dict)
    unreachable: bool = False

    def users(self, session_id: str) -> frozenset[str]:
        if self.unreachable:
            raise StoreUnavailableError("session_links", "unreachable")
        return frozenset(self.by_session.get(session_id, ()))

    def add(self, session_id: str, user_id: str, at: int) -> None:
        self.users(session_id)
        self.by_session.setdefault(session_id, set()).add(user_id)


@dataclass
class MemoryCounts:
    """The touches themselves; sums are taken when they are read."""

    touches: set[Touch] = field(default_factory=set)
    unreachable: bool = False

    def add(self, touches: Sequence[Touch]) -> None:
        self._reached()
        self.touches.update(touches)

    def hours(self, first: int, last: int, deadline: Deadline) -> Mapping[int, Mapping[str, int]]:
        return self._sums(1, first, last, deadline)

    def days(self, first: int, last: int, deadline: Deadline) -> Mapping[int, Mapping[str, int]]:
        return self._sums(24, first, last, deadline)

    def _sums(self, n_hours: int, first: int, last: int, deadline: Deadline) -> Mapping[int, Mapping[str, int]]:
        self._reached()
        if deadline.remaining_ms() <= 0:
            raise StoreUnavailableError("item_counts", "no time is left")
        found: dict[int, dict[str, int]] = {}
        for touch in self.touches:
            period = touch.hour // n_hours
            if first <= period <= last:
                sums = found.setdefault(period, {})
                sums[touch.item_id] = sums.get(touch.item_id, 0) + WORTH[touch.event_type]
        return found

    def _reached(self) -> None:
        if self.unreachable:
            raise StoreUnavailableError("item_counts", "unreachable")


@dataclass
class MemoryDeadLetters:
    """Keeps (body, group, reason, detail)."""

    letters: list[tuple[str, str, str, str]] = field(default_factory=list)
    unreachable: bool = False

    def put(self, body: str, group: str, reason: str, detail: str) -> None:
        if self.unreachable:
            raise StoreUnavailableError("dead_letters", "unreachable")
        self.letters.append((body, group, reason, detail))


@dataclass
class MemorySlates:
    """Keeps what was served."""

    slates: list[Mapping[str, Any]] = field(default_factory=list)

    def record(self, slate: Mapping[str, Any]) -> None:
        self.slates.append(slate)


@dataclass
class MemoryBundles:
    """Folders by version, and which one is promoted."""

    folders: dict[str, Path] = field(default_factory=dict)
    current: str = ""

    def promoted(self) -> str:
        if not self.current:
            raise BundleMissingError("no bundle is promoted")
        return self.current

    def fetch(self, version: str | None = None) -> Path:
        name = version or self.promoted()
        if name not in self.folders:
            raise BundleMissingError(f"there is no bundle {name!r}")
        return self.folders[name]

    def discard(self, folder: Path) -> None:
        """Nothing: it is no copy."""


@dataclass
class MemoryObjects:
    """Named objects for the item log."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    unreachable: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _reach(self) -> None:
        if self.unreachable:
            raise StoreUnavailableError("item_updates", "unreachable")

    def get(self, name: str) -> bytes | None:
        self._reach()
        return self.bodies.get(name)

    def create(self, name: str, body: bytes) -> bool:
        self._reach()
        with self._lock:
            created = name not in self.bodies
            self.bodies.setdefault(name, body)
            return created

    def replace(self, name: str, body: bytes) -> None:
        self._reach()
        self.bodies[name] = body
