"""What the wire models share: frozen, camelCase, unknown fields rejected; and the ids with their limits."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from fusionrec import ids
from fusionrec.state_keys import SESSION_PREFIX

_UNFIT: Final = re.compile(ids.UNFIT)
_BLANK: Final = re.compile(ids.BLANK)


def to_camel(name: str) -> str:
    """`n_events_7d` → `nEvents7d`."""
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


class Request(BaseModel):
    """Built from the wire only: by alias, unknown fields rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class Answer(BaseModel):
    """Built by our code, by name; written by alias."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


def _no_session(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(SESSION_PREFIX):
        raise PydanticCustomError("reserved", "'session:' is reserved; send a session as sessionId")
    return value


def _iso_text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or "-" not in value:
        raise PydanticCustomError("iso_8601", "an ISO 8601 time with its offset, such as 2026-03-01T12:00:00Z")
    return value


def _fit(value: str) -> str:
    if _BLANK.search(value):
        raise PydanticCustomError("blank", "white space or invisible characters alone are no id")
    if found := _UNFIT.search(value):
        raise PydanticCustomError("unfit", "{reason}: U+{code}", {"reason": ids.REASON, "code": f"{ord(found[0]):04X}"})
    return value


_Id = Annotated[str, StringConstraints(min_length=1, max_length=ids.LONGEST), AfterValidator(_fit)]
ItemId = _Id
UserId = Annotated[_Id, BeforeValidator(_no_session)]
SessionId = _Id
EventId = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_fit)]
SentAt = Annotated[AwareDatetime, BeforeValidator(_iso_text), WithJsonSchema({"type": "string", "format": "date-time"})]
