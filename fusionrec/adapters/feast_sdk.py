"""Any online store that Feast speaks to, through its SDK: SQLite locally. Slow to import; never in a function.

Rows go to the SDK's online store as the protobufs that they are there. `get_online_features` and
`write_to_online_store` end in the same two calls, after a response of columns, or a DataFrame and Arrow, for each row.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any, Final

from fusionrec.adapters import feast_codec as codec
from fusionrec.adapters.expiry import is_expired
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import USER_PROFILE, USER_SESSION, FeatureView
from fusionrec.observability import logger
from fusionrec.ports import Clock, Deadline, Row, UserState, default_row

VIEWS: Final = (USER_PROFILE, USER_SESSION)


class SdkFeatures:
    """Reads both views, writes the session row; `store` is a feast.FeatureStore."""

    def __init__(self, store: Any, clock: Clock) -> None:
        self._store, self._clock, self._updates = store, clock, False
        self._views: dict[str, Any] = {}  # of the registry, by name
        self._lock = threading.Lock()  # the SDK keeps one SQLite connection

    def for_update(self) -> SdkFeatures:
        """The same store for read-modify-write of the session, the only row that it reads, expired or not."""
        other = SdkFeatures(self._store, self._clock)
        other._lock, other._views, other._updates = self._lock, self._views, True
        return other

    def read(self, user_id: str, deadline: Deadline) -> UserState:
        names = tuple(view.name for view in VIEWS)
        if deadline.remaining_ms() <= 0:
            return UserState(missing=names)
        try:
            with self._lock:
                profile = default_row(USER_PROFILE) if self._updates else self._row(USER_PROFILE, user_id)
                session = self._row(USER_SESSION, user_id)
        except Exception as error:  # each store of the SDK raises its own types; the request must degrade on all
            logger.warning("user features not read", extra={"detail": f"{type(error).__name__}: {error}"})
            return UserState(missing=names)
        return UserState(profile, session)

    def _row(self, view: FeatureView, user_id: str) -> Row:
        key = codec.entity_key(view, user_id)
        [(at, values)] = self._store.provider.online_read(self._store.config, self._view(view), [key])
        if not values:
            return default_row(view)
        if not self._updates and is_expired(view, round(at.timestamp() * 1000), self._clock.now()):
            return default_row(view)
        return codec.decode_protos(view, values)

    def _view(self, view: FeatureView) -> Any:
        """As the registry has it, which parses it anew each time that it is asked."""
        if view.name not in self._views:
            self._views[view.name] = self._store.get_feature_view(view.name)
        return self._views[view.name]

    def write(self, user_id: str, row: Row, event_at: int, replacing: Row | None = None) -> None:
        """The caller is the only writer and never goes back in time (DirectSink, session_state)."""
        at = datetime.fromtimestamp(event_at / 1000, UTC)
        rows = [(codec.entity_key(USER_SESSION, user_id), codec.encode_protos(USER_SESSION, row), at, None)]
        try:
            with self._lock:
                self._store.provider.online_write_batch(self._store.config, self._view(USER_SESSION), rows, None)
        except Exception as error:  # as above
            raise StoreUnavailableError(USER_SESSION.name, f"{type(error).__name__}: {error}") from error
