"""Accepted events into features: one read and one write a user, newest wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import USER_SESSION
from fusionrec.ports import Clock, Interaction, SessionWriter, UserFeatures
from fusionrec.session_state import absorb_events

READ_MS: Final = 5000.0  # nobody waits for it; giving up only means that the queue delivers again


@dataclass(frozen=True, slots=True)
class Absorber:
    """Folds events into the user_session rows. Its reader must be strongly consistent."""

    users: UserFeatures
    sessions: SessionWriter
    clock: Clock

    def absorb(self, user_id: str, events: Sequence[Interaction]) -> None:
        """All of one user's events. Raises StoreUnavailableError; then nothing was written."""
        state = self.users.read(user_id, self.clock.deadline(READ_MS))
        if USER_SESSION.name in state.missing:
            # Writing onto a default row would forget the user's other events.
            raise StoreUnavailableError(USER_SESSION.name, "the session row could not be read")
        row = absorb_events(state.session, events)
        if row != state.session:
            self.sessions.write(user_id, row, int(row["last_event_at"]))  # type: ignore[arg-type]
