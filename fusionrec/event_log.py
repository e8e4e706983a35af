"""The raw event log: its columns, the version that brought each, and how a record of any version is read.

How it evolves: fields are only added, each with the value that older records read as; none is renamed, removed or given
another meaning. Each addition raises VERSION. A reader ignores the unknown fields of a newer version, since writers are
deployed first, and refuses unknown fields of a version that it knows. `tests/contract/golden/event-log-v*` keeps a
record of every past version.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from fusionrec.errors import BadInputError
from fusionrec.ports import Interaction

VERSION: Final = 2

Kind = Literal["string", "bigint", "double", "array<string>", "map<string,string>"]


@dataclass(frozen=True, slots=True)
class LogField:
    """One column. default None: every record has it."""

    name: str
    kind: Kind  # as the Glue table spells it
    since: int
    default: Any
    about: str


FIELDS: Final = (
    LogField("event_id", "string", 1, None, "unique for its user; repetitions may be in the log"),
    LogField("user_id", "string", 1, None, "the user, or `session:` and the id of a session without one"),
    LogField("session_id", "string", 1, None, "the visit"),
    LogField("item_id", "string", 1, None, "empty for an impression"),
    LogField("event_type", "string", 1, None, "one of feature_spec.EVENT_TYPES, or `impression` since version 2"),
    LogField("sent_at", "bigint", 1, None, "when it happened, ms since 1970 UTC"),
    LogField("event_value", "double", 1, 1.0, "quantity of a purchase, stars of a rating"),
    LogField("recommendation_id", "string", 1, "", "the slate that led to it"),
    LogField("impression", "array<string>", 1, (), "the items on display, in the order of their places"),
    LogField("text", "string", 1, "", "a review or comment"),
    LogField("properties", "map<string,string>", 1, {}, "what the shop added"),
    LogField("received_at", "bigint", 2, 0, "when it was taken, ms since 1970 UTC; 0 = not noted"),
    LogField("schema_version", "bigint", 2, 1, "version of the record"),
)
NAMES: Final = tuple(field.name for field in FIELDS)


def to_record(event: Interaction) -> dict[str, Any]:
    """The event as a record of the current version."""
    fields = {name: getattr(event, name) for name in NAMES[:-1]}
    return {**fields, "impression": list(event.impression), "schema_version": VERSION}


def from_record(record: Any) -> Interaction:
    """A record of any version, from JSON or from a row of a Parquet file. Raises BadInputError, naming the field."""
    if not isinstance(record, Mapping):
        raise BadInputError("a record of the event log is an object")
    version = _value(FIELDS[-1], record.get("schema_version"))
    if version < 1:
        raise BadInputError(f"schema_version {version} never was", pointer="schema_version")
    unknown = sorted(set(record) - set(NAMES))
    if unknown and version <= VERSION:
        raise BadInputError(f"version {version} of the event log has no such field", pointer=unknown[0])
    fields = {field.name: _value(field, record.get(field.name)) for field in FIELDS[:-1]}
    return Interaction(**fields)


def _value(field: LogField, value: Any) -> Any:
    if value is None:
        if field.default is None:
            raise BadInputError("is missing", pointer=field.name)
        return field.default
    try:
        return _READERS[field.kind](value)
    except (TypeError, ValueError):
        raise BadInputError(f"{value!r:.80} is no {field.kind}", pointer=field.name) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:  # a bool is an int, too
        raise TypeError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError
    return tuple(_text(item) for item in value)


def _pairs(value: Any) -> dict[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else value  # Parquet gives a map as a list of pairs
    return {_text(name): _text(text) for name, text in pairs}


_READERS: Final = {"string": _text, "bigint": _whole, "double": _number, "array<string>": _texts,
                   "map<string,string>": _pairs}  # fmt: skip
