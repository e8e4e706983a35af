"""Accepted events as JSON text, for the queue and the raw log."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from fusionrec.errors import BadInputError
from fusionrec.ports import Interaction

NOT_IN_XML: Final = re.compile("[\ud800-\udfff\ufffe\uffff]")  # besides control characters, which JSON escapes


def to_fields(event: Interaction) -> dict[str, Any]:
    return {**asdict(event), "impression": list(event.impression), "properties": dict(event.properties)}


def to_message(event: Interaction) -> str:
    """JSON that a queue takes: SQS refuses what XML cannot hold, but not its escapes.

    Other characters stay as they are: escaping an emoji takes twelve bytes, and an event must fit into one message.
    """
    text = json.dumps(to_fields(event), ensure_ascii=False, separators=(",", ":"))
    return NOT_IN_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


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
