"""Stands in for a store that could not be opened: every read degrades, every write fails."""

from __future__ import annotations

from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import USER_PROFILE, USER_SESSION
from fusionrec.ports import Deadline, Row, UserState


class NoStore:
    """reason: why there is no store, for whoever tries to write."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def read(self, user_id: str, deadline: Deadline) -> UserState:
        return UserState(missing=(USER_PROFILE.name, USER_SESSION.name))

    def for_update(self) -> NoStore:
        return self

    def write(self, user_id: str, row: Row, event_at: int, replacing: Row | None = None) -> None:
        raise StoreUnavailableError(USER_SESSION.name, self._reason)
