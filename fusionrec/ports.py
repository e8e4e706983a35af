"""What the use cases need of the world. Adapters implement these; the fakes are in `adapters/memory.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from fusionrec.feature_spec import USER_PROFILE, USER_SESSION, FeatureView, Value

Row = Mapping[str, Value]


def default_row(view: FeatureView) -> Row:
    """The row that stands in for a missing one."""
    return {feature.name: feature.default for feature in view.features}


@dataclass(frozen=True, slots=True)
class Interaction:
    """Something a user did with an item. Times are int64 ms since 1970 UTC."""

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

    def write(self, user_id: str, row: Row, event_at: int) -> None:
        """Raises StoreUnavailableError."""


class EventSink(Protocol):
    """Takes events that were accepted: a queue in the cloud, the consumer itself locally."""

    def put(self, events: Sequence[Interaction]) -> None:
        """Raises StoreUnavailableError; then none of the events was taken."""


class SlateLog(Protocol):
    """Keeps what was served, with propensities, so that a slate can be replayed and joined to its impressions."""

    def record(self, slate: Mapping[str, Any]) -> None: ...


class BundleStore(Protocol):
    """Where model bundles live."""

    def promoted(self) -> str:
        """The version that is to be served. Raises BundleMissingError, StoreUnavailableError."""

    def fetch(self, version: str | None = None) -> Path:
        """A local folder with this version, else the promoted one. Raises as `promoted` does."""
