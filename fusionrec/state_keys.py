"""Under which key a caller's features are kept. Apart from the wire models: the consumer needs none of them."""

from __future__ import annotations

from typing import Final

SESSION_PREFIX: Final = "session:"  # the key of a session without a user; no user id may look like one


def state_key(user_id: str | None, session_id: str | None) -> str | None:
    """The entity under which a caller's features are kept: its user, else its session, else none."""
    return user_id or (SESSION_PREFIX + session_id if session_id else None)
