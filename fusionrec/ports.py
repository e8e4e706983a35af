"""What the use cases need of the world. Adapters implement these; the fakes are in `adapters/memory.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from fusionrec.feature_spec import USER_PROFILE, USER_SESSION, FeatureView, Value
from fusionrec.state_keys import SESSION_PREFIX

Row = Mapping[str, Value]
IMPRESSION: Final = "impression"  # an event that says what was on display; nobody acted, so no feature counts it


def default_row(view: FeatureView) -> Row:
    """The row that stands in for a missing one."""
    return {feature.name: feature.default for feature in view.features}


@dataclass(frozen=True, slots=True)
class Interaction:
    """Something a user did with an item, or what a user was shown. Times are int64 ms since 1970 UTC."""

    event_id: str
    user_id: str
    session_id: str
    item_id: str
    event_type: str
    sent_at: int
    event_value: float = 1.0
    recommendation_id: str = ""
    impression: tuple[str, ...] = ()
    text: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    received_at: int = 0  # when it was taken; 0 = unknown
    handed: bool = False  # a copy for the user who logged in; the session's own was, or will be, absorbed, too

    @property
    def group(self) -> str:
        """Whose features it changes: one writer at a time."""
        return self.user_id

    @property
    def has_text(self) -> bool:
        """An act on an item that carries words."""
        return self.is_act and bool(self.item_id) and bool(self.text.strip())

    @property
    def is_act(self) -> bool:
        return self.event_type != IMPRESSION


@dataclass(frozen=True, slots=True)
class SessionLink:
    """A user logged in within a session: what was done there anonymously is the user's, too."""

    session_id: str
    user_id: str
    sent_at: int

    @property
    def group(self) -> str:
        """The session's: the writer of its row is the one who hands its events on."""
        return SESSION_PREFIX + self.session_id


Message = Interaction | SessionLink


@dataclass(frozen=True, slots=True)
class UserState:
    """A user's two rows; `missing` names the views whose store did not answer."""

    profile: Row = field(default_factory=lambda: default_row(USER_PROFILE))
    session: Row = field(default_factory=lambda: default_row(USER_SESSION))
    missing: tuple[str, ...] = ()


class Deadline(Protocol):
    def remaining_ms(self) -> float: ...


class Clock(Protocol):
    def now(self) -> datetime: ...

    def deadline(self, budget_ms: float) -> Deadline: ...


class UserFeatures(Protocol):
    """Reads the online store. A missing or expired row gives defaults; an unreachable store is named, not raised."""

    def read(self, user_id: str, deadline: Deadline) -> UserState: ...


class SessionWriter(Protocol):
    """Writes a user's session row, newest wins: an older `event_at` never replaces a newer one."""

    def write(self, user_id: str, row: Row, event_at: int, replacing: Row | None = None) -> None:
        """replacing: the row that was read before; StoreUnavailableError if another one is there by now.

        raises: StoreUnavailableError; then nothing was written, or the answer was lost
        """


class SessionLinks(Protocol):
    """Which users logged in within a session; a growing set, so the order of links does not matter."""

    def users(self, session_id: str) -> frozenset[str]:
        """Raises StoreUnavailableError."""

    def add(self, session_id: str, user_id: str, at: int) -> None:
        """at: ms since 1970 UTC. Raises StoreUnavailableError."""


class EventLog(Protocol):
    """The raw log of accepted events, from which features can be built again."""

    def append(self, events: Sequence[Interaction]) -> None:
        """Raises StoreUnavailableError; some of the events may be in the log then, and be logged again later."""


class EventSink(Protocol):
    """Takes events that were accepted: a queue in the cloud, the consumer itself locally."""

    def put(self, messages: Sequence[Message]) -> None:
        """Raises StoreUnavailableError; some may have been taken then. Putting all again is safe."""


class DeadLetters(Protocol):
    """Keeps messages that were given up, each with its reason."""

    def put(self, body: str, group: str, reason: str, detail: str) -> None:
        """reason: a short code, `unreadable`, `unavailable` or `failed`. Raises StoreUnavailableError."""


class SlateLog(Protocol):
    """Keeps what was served, with propensities, so that a slate can be replayed and joined to its impressions."""

    def record(self, slate: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Touch:
    """Somebody did this kind of thing with an item within this hour: what counts once, however often it was done."""

    who: str  # a user, or `anonymous:` and one of the few voices of all sessions without a user
    item_id: str
    event_type: str
    hour: int  # since 1970 UTC


class ItemCounts(Protocol):
    """Sums of worth per item and hour, and per item and day; each is a function of the set of touches."""

    def add(self, touches: Sequence[Touch]) -> None:
        """Count those that were not counted yet. Raises StoreUnavailableError; adding all again is safe."""

    def hours(self, first: int, last: int, deadline: Deadline) -> Mapping[int, Mapping[str, int]]:
        """hour → item → worth, first and last included; hours without touches may be missing.

        raises: StoreUnavailableError, also when the deadline passes
        """

    def days(self, first: int, last: int, deadline: Deadline) -> Mapping[int, Mapping[str, int]]:
        """day since 1970 UTC → item → worth; else as `hours`."""


class BundleStore(Protocol):
    """Where model bundles live."""

    def promoted(self) -> str:
        """The version that is to be served. Raises BundleMissingError, StoreUnavailableError."""

    def fetch(self, version: str | None = None) -> Path:
        """A local folder with this version, else the promoted one. Raises as `promoted` does.

        Its files are not verified: `load_bundle` does that, so that each is read once.
        """

    def discard(self, folder: Path) -> None:
        """What `fetch` gave turned out not to be the bundle: a copy is thrown away, and fetched anew when asked for."""


class TextVotes(Protocol):
    """Keeps one row of bytes for each thing that texts speak of."""

    def read(self, key: str) -> bytes:
        """Empty where there is no row. Strongly consistent. Raises StoreUnavailableError."""

    def write(self, key: str, row: bytes, replacing: bytes) -> bool:
        """False, and nothing is written, when the row is not `replacing` any more. Raises StoreUnavailableError."""


class SurgeAlarms(Protocol):
    """Tells somebody of a surge of negative sentiment; the same one may be told twice."""

    def tell(self, alarm: Mapping[str, Any]) -> None:
        """Raises StoreUnavailableError."""


class TextSink(Protocol):
    """Takes events whose text is to be scored: a queue of its own in the cloud, the use case itself locally."""

    def put(self, events: Sequence[Interaction]) -> None:
        """Raises StoreUnavailableError; putting all again is safe."""
