"""GET /v1/users/{userId}/profile: the user's rows in a marketer's words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fusionrec.contracts.users import Activity, Interest, RecentEvent, Spending, UserProfile
from fusionrec.errors import StoreUnavailableError, UnknownUserError
from fusionrec.feature_spec import HISTORY_LENGTH
from fusionrec.filters.eligibility import removed_items
from fusionrec.ports import Clock, UserFeatures, UserState
from fusionrec.transforms import History, merge_history

BUDGET_MS: Final = 2000.0
N_RECENT: Final = 20


@dataclass(frozen=True, slots=True)
class Profiles:
    users: UserFeatures
    clock: Clock

    def profile(self, user_id: str) -> UserProfile:
        """Raises UnknownUserError, StoreUnavailableError: half a profile would mislead."""
        state = self.users.read(user_id, self.clock.deadline(BUDGET_MS))
        if state.missing:
            raise StoreUnavailableError("user_features", f"no answer for {', '.join(state.missing)}")
        history = merge_history(state.profile, state.session, HISTORY_LENGTH)  # as slates read it
        if not history.item_ids and not state.profile["n_events"]:
            raise UnknownUserError(f"nothing is known of user {user_id!r}")
        return _user_profile(user_id, state, history)


def _user_profile(user_id: str, state: UserState, history: History) -> UserProfile:
    profile: dict[str, Any] = dict(state.profile)
    events = list(zip(history.item_ids, history.event_types, history.sent_at, strict=True))
    removed = removed_items(history, state.session["removed_item_ids"])  # type: ignore[arg-type]
    return UserProfile(
        user_id=user_id,
        interests=tuple(
            Interest(category=category, weight=weight)
            for category, weight in zip(profile["category_names"], profile["category_weights"], strict=True)
        ),
        activity=_activity(profile, history),
        spending=Spending(
            total_cents=profile["monetary_cents"],
            last_30_days_cents=profile["monetary_30d_cents"],
            mean_price_cents=profile["mean_price_cents"],
            price_band_weights=tuple(profile["price_band_weights"]),
        ),
        recent_events=tuple(
            RecentEvent(item_id=item_id, event_type=event_type, sent_at=_time(sent_at))
            for item_id, event_type, sent_at in reversed(events[-N_RECENT:])
        ),
        removed_item_ids=tuple(sorted(removed)),
        as_of_event_id=str(state.session["last_event_id"]) or None,
    )


def _activity(profile: dict[str, Any], history: History) -> Activity:
    fields: dict[str, Any] = {name: profile[name] for name in Activity.model_fields if name in profile}
    first: int = profile["first_event_at"] or (history.sent_at[0] if history.sent_at else 0)
    last: int = max([profile["last_event_at"], *history.sent_at])
    fields["first_event_at"] = _time(first) if first else None
    fields["last_event_at"] = _time(last) if last else None
    return Activity(**fields)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
