"""Any online store that Feast speaks to, through its SDK: SQLite locally. Slow to import; never in a function."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any, Final

from fusionrec.adapters import feast_codec as codec
from fusionrec.adapters.expiry import is_expired
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import USER_PROFILE, USER_SESSION
from fusionrec.observability import logger
from fusionrec.ports import Clock, Deadline, Row, UserState, default_row

VIEWS: Final = (USER_PROFILE, USER_SESSION)
_REFERENCES: Final = [f"{view.name}:{feature.name}" for view in VIEWS for feature in view.features]


class SdkFeatures:
    """Reads both views in one call, writes the session row; `store` is a feast.FeatureStore."""

    def __init__(self, store: Any, clock: Clock) -> None:
        self._store, self._clock, self._expires = store, clock, True
        self._lock = threading.Lock()  # the SDK keeps one SQLite connection

    def for_update(self) -> SdkFeatures:
        """The same store for read-modify-write, which must see expired rows, too."""
        other = SdkFeatures(self._store, self._clock)
        other._lock, other._expires = self._lock, False
        return other

    def read(self, user_id: str, deadline: Deadline) -> UserState:
        names = tuple(view.name for view in VIEWS)
        if deadline.remaining_ms() <= 0:
            return UserState(missing=names)
        try:
            with self._lock:
                response = self._store.get_online_features(
                    features=_REFERENCES, entity_rows=[{"user_id": user_id}], full_feature_names=True
                ).proto
        except Exception as error:  # each store of the SDK raises its own types; the request must degrade on all
            logger.warning("user features not read", extra={"detail": f"{type(error).__name__}: {error}"})
            return UserState(missing=names)
        columns = dict(zip(response.metadata.feature_names.val, response.results, strict=True))
        return UserState(self._row(columns, 0), self._row(columns, 1))

    def _row(self, columns: dict[str, Any], place: int) -> Row:
        view = VIEWS[place]
        row = dict(default_row(view))
        now = self._clock.now()
        for feature in view.features:
            column = columns[f"{view.name}__{feature.name}"]
            event_at = round(column.event_timestamps[0].ToNanoseconds() / 1e6)
            if not (self._expires and is_expired(view, event_at, now)):
                row[feature.name] = codec.decode_proto(column.values[0], feature.default)
        return row

    def write(self, user_id: str, row: Row, event_at: int, replacing: Row | None = None) -> None:
        """The caller is the only writer and never goes back in time (DirectSink, session_state)."""
        fields = {feature.name: [row[feature.name]] for feature in USER_SESSION.features}
        timestamp = datetime.fromtimestamp(event_at / 1000, UTC)
        try:
            with self._lock:
                self._store.write_to_online_store(
                    USER_SESSION.name, inputs={"user_id": [user_id], "event_timestamp": [timestamp], **fields}
                )
        except Exception as error:  # as above
            raise StoreUnavailableError(USER_SESSION.name, f"{type(error).__name__}: {error}") from error
