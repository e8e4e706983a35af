"""Accepted events as JSON text, for the queue and the raw log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fusionrec.errors import BadInputError
from fusionrec.ports import Interaction


def to_fields(event: Interaction) -> dict[str, Any]:
    return {**asdict(event), "impression": list(event.impression), "properties": dict(event.properties)}


def to_message(event: Interaction) -> str:
    return json.dumps(to_fields(event), ensure_ascii=False, separators=(",", ":"))


def from_message(text: str) -> Interaction:
    """Raises BadInputError when the text is not a message that `to_message` wrote."""
    try:
        fields: Mapping[str, Any] = json.loads(text)
        event = Interaction(**{**fields, "impression": tuple(fields["impression"])})
        return _checked(event)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInputError(f"not an event message: {error}") from None


def _checked(event: Interaction) -> Interaction:
    texts = (event.event_id, event.user_id, event.session_id, event.item_id, event.event_type)
    if not all(isinstance(text, str) for text in texts) or type(event.sent_at) is not int:
        raise TypeError("a field has the wrong type")
    return event
