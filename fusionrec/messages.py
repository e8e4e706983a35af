"""Accepted events as JSON text, for the queue and the raw log; on the queue also who logged in where."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from typing import Any, Final

from fusionrec.errors import BadInputError
from fusionrec.event_log import from_record, to_record
from fusionrec.ports import Interaction, Message, SessionLink

NOT_IN_XML: Final = re.compile("[\ud800-\udfff\ufffe\uffff]")  # besides control characters, which JSON escapes
_LINK: Final = "link"
_HANDED: Final = "handed"


def to_message(message: Message) -> str:
    """JSON that a queue takes: SQS refuses what XML cannot hold, but not its escapes.

    Other characters stay as they are: escaping an emoji takes twelve bytes, and an event must fit into one message.
    """
    fields = to_record(message) if isinstance(message, Interaction) else {_LINK: asdict(message)}
    if isinstance(message, Interaction) and message.handed:
        fields = {_HANDED: fields}
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return NOT_IN_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def from_message(text: str) -> Message:
    """Raises BadInputError when the text is not a message that `to_message` wrote, now or in a past version."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"not an event message: {error}") from None
    if isinstance(fields, dict) and set(fields) == {_LINK}:
        return _link(fields[_LINK])
    handed = isinstance(fields, dict) and set(fields) == {_HANDED}
    try:
        return replace(from_record(fields[_HANDED] if handed else fields), handed=handed)
    except BadInputError as error:
        raise BadInputError(f"not an event message: {error.pointer} {error}") from None


def _link(fields: Any) -> SessionLink:
    try:
        link = SessionLink(**fields)
    except TypeError:
        raise BadInputError("not a session link: other fields") from None
    if not (isinstance(link.session_id, str) and isinstance(link.user_id, str) and type(link.sent_at) is int):
        raise BadInputError("not a session link: a field has the wrong type")
    return link
