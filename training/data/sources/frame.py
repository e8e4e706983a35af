"""The raw frame: what every reader gives and cleaning takes, as Ibis tables of one DuckDB connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ibis
import pyarrow as pa

# A reader that cannot read a value, or knows that a line is no interaction, says so in the four flaw columns; cleaning
# moves such a line to the quarantine. Times are UTC without a zone. `position` orders events of one user and moment;
# where it is null, the order of the lines decides.
EVENT_COLUMNS: Final = {
    "file": "string",
    "line": "int64",
    "user_id": "string",
    "item_id": "string",
    "event_type": "string",
    "sent_at": "timestamp(6)",
    "event_value": "float64",
    "price_cents": "int64",
    "discount_cents": "int64",
    "session_id": "string",
    "position": "int64",
    "flaw_rule": "string",
    "flaw_field": "string",
    "flaw_value": "string",
    "flaw_reason": "string",
}
ITEM_TEXTS: Final = ("item_id", "name", "category", "department", "brand", "description")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a source's data is usually treated with; each can be overridden on the command line."""

    min_item_users: int = 1
    min_user_events: int = 1


@dataclass(frozen=True, slots=True)
class Raw:
    """What a reader gives."""

    events: Any  # ibis Table, EVENT_COLUMNS
    items: Any  # ibis Table, ITEM_TEXTS and attributes (array<string>)
    users: Any  # ibis Table, user_id and attributes (array<string>)
    has_times: bool = True
    currency: str = ""
    rejected: Any = None  # ibis Table, columns of the quarantine: lines that never became an event, an item or a user
    catalogue_order: pa.Table | None = None  # item_id, in the order of the shop's own ids, where that orders ties
    notes: tuple[str, ...] = ()  # for the report: what was made up
    cautions: tuple[str, ...] = ()  # for the screen, too: what was ignored
    columns: dict[str, str] = field(default_factory=dict)  # raw frame column → column of the source's file


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where a source's files are. `path`, `events`, `items`, `users`: given by the user; `home`: the workspace."""

    home: Path
    path: Path | None = None
    events: Path | None = None
    items: Path | None = None
    users: Path | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of data: how to find its files, and how to read them."""

    name: str
    defaults: Defaults
    find: Callable[[Inputs], dict[str, Path]]  # role → file; downloads when needed; raises DataError
    read: Callable[[Any, dict[str, Path]], Raw]  # connection, files


def complete(events: Any, **given: Any) -> Any:
    """Select EVENT_COLUMNS from a table: given expressions first, then columns of that name, null for the rest."""
    chosen = {}
    for name, dtype in EVENT_COLUMNS.items():
        value = given.get(name, events[name] if name in events.columns else None)
        chosen[name] = (value if isinstance(value, ibis.Expr) else ibis.literal(value)).cast(dtype)
    return events.select(**chosen)
