"""What every reader of user features must do, the fake and the real ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fusionrec.adapters.clock import Countdown
from fusionrec.adapters.memory import FixedClock
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import USER_PROFILE, USER_SESSION, FeatureView
from fusionrec.ports import Row, SessionWriter, UserFeatures, default_row

NOW = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
DAY = timedelta(days=1)

PROFILE: dict[str, Any] = {
    **default_row(USER_PROFILE),
    "history_item_ids": ["milk", "日本/茶", ""],
    "history_event_types": ["view", "purchase", "cart"],
    "history_sent_at": [NOW_MS - 3, NOW_MS - 2, NOW_MS - 1],
    "n_events": 3,
    "first_event_at": -1,
    "monetary_cents": 2**53 + 1,  # beyond what a float holds
    "mean_price_cents": 12.5,
    "price_band_weights": [0.25, 0.75],
    "category_names": ["naïve crêpe"],
    "category_weights": [1.0],
}
SESSION: dict[str, Any] = {
    **default_row(USER_SESSION),
    "event_ids": ["e1", "e2"],
    "item_ids": ["milk", "tea"],
    "event_types": ["removal", "purchase"],
    "sent_at": [NOW_MS - 2, NOW_MS - 1],
    "event_values": [1.0, 2.5],
    "removed_item_ids": ["milk"],
    "last_event_id": "e2",
    "last_event_at": NOW_MS - 1,
}
KEYS = ["u1", "Zoë/日本", "a b\tc", "\U0001f6d2", "x" * 256, "007"]


class FeatureReaderSuite(ABC):
    """Inherit it and give `features` (the adapter, with `clock`) and `put` (a row as another writer leaves it)."""

    @pytest.fixture
    def clock(self) -> FixedClock:
        return FixedClock(NOW)

    @pytest.fixture
    @abstractmethod
    def features(self, clock: FixedClock) -> Any: ...

    @abstractmethod
    def put(self, features: Any, view: FeatureView, user_id: str, row: Row, event_at: datetime) -> None: ...

    def read(self, features: UserFeatures, user_id: str) -> Any:
        return features.read(user_id, Countdown(5000))

    @pytest.mark.parametrize("user_id", KEYS)
    def test_both_rows_come_back_as_they_were_written(self, features: Any, user_id: str) -> None:
        self.put(features, USER_PROFILE, user_id, PROFILE, NOW)
        self.put(features, USER_SESSION, user_id, SESSION, NOW)
        state = self.read(features, user_id)
        assert state.missing == ()
        assert dict(state.profile) == PROFILE
        assert dict(state.session) == SESSION
        types = {name: type(value) for name, value in state.profile.items()}
        assert types == {name: type(value) for name, value in PROFILE.items()}

    def test_a_missing_row_reads_as_defaults(self, features: Any) -> None:
        self.put(features, USER_SESSION, "u1", SESSION, NOW)
        state = self.read(features, "u1")
        assert dict(state.profile) == default_row(USER_PROFILE)
        assert dict(state.session) == SESSION
        assert self.read(features, "nobody").missing == ()

    def test_a_row_is_read_to_its_last_day_and_not_longer(self, features: Any, clock: FixedClock) -> None:
        self.put(features, USER_PROFILE, "u1", PROFILE, NOW)
        self.put(features, USER_SESSION, "u1", SESSION, NOW)
        clock.move(DAY * USER_SESSION.max_age_days)
        assert dict(self.read(features, "u1").session) == SESSION
        clock.move(timedelta(seconds=1))
        state = self.read(features, "u1")
        assert dict(state.session) == default_row(USER_SESSION)
        assert dict(state.profile) == PROFILE
        clock.move(DAY * USER_PROFILE.max_age_days)
        assert dict(self.read(features, "u1").profile) == default_row(USER_PROFILE)

    def test_without_time_left_both_views_are_named(self, features: Any) -> None:
        self.put(features, USER_PROFILE, "u1", PROFILE, NOW)
        state = features.read("u1", Countdown(0))
        assert state.missing == ("user_profile", "user_session")
        assert dict(state.profile) == default_row(USER_PROFILE)

    def test_its_own_write_is_read_back(self, features: SessionWriter) -> None:
        features.write("u1", SESSION, NOW_MS)
        assert dict(self.read(features, "u1").session) == SESSION  # type: ignore[arg-type]


class NewestWinsSuite:
    """For session writers that face several writers."""

    def test_a_row_that_another_writer_changed_is_not_replaced(self, features: Any) -> None:
        first = {**SESSION, "event_ids": ["e0"], "last_event_id": "e0"}
        features.write("u1", first, NOW_MS, replacing=default_row(USER_SESSION))
        features.write("u1", SESSION, NOW_MS, replacing=first)
        for stale in (first, default_row(USER_SESSION)):
            with pytest.raises(StoreUnavailableError, match="another writer"):
                features.write("u1", {**SESSION, "last_event_id": "lost"}, NOW_MS, replacing=stale)
        assert features.read("u1", Countdown(5000)).session["last_event_id"] == "e2"

    def test_writing_the_same_again_is_no_conflict(self, features: Any) -> None:
        features.write("u1", SESSION, NOW_MS, replacing=default_row(USER_SESSION))
        features.write("u1", SESSION, NOW_MS, replacing=SESSION)
        assert features.read("u1", Countdown(5000)).session["last_event_id"] == "e2"

    def test_an_older_row_never_replaces_a_newer_one(self, features: Any) -> None:
        newer, older = {**SESSION, "last_event_id": "new"}, {**SESSION, "last_event_id": "old"}
        features.write("u1", newer, NOW_MS)
        features.write("u1", older, NOW_MS - 1)
        assert features.read("u1", Countdown(5000)).session["last_event_id"] == "new"

    def test_a_late_event_is_written_under_the_same_time(self, features: Any) -> None:
        features.write("u1", SESSION, NOW_MS)
        features.write("u1", {**SESSION, "last_event_id": "same time"}, NOW_MS)
        assert features.read("u1", Countdown(5000)).session["last_event_id"] == "same time"

    def test_times_are_compared_to_the_millisecond(self, features: Any) -> None:
        whole = NOW_MS - NOW_MS % 1000
        features.write("u1", {**SESSION, "last_event_id": "later"}, whole + 1)
        features.write("u1", {**SESSION, "last_event_id": "on the second"}, whole)
        assert features.read("u1", Countdown(5000)).session["last_event_id"] == "later"
