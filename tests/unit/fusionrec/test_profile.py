from __future__ import annotations

import pytest

from fusionrec.absorb import Absorber
from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemorySlates
from fusionrec.contracts.recommendations import RecommendationRequest
from fusionrec.errors import StoreUnavailableError, UnknownUserError
from fusionrec.feature_spec import SESSION_LENGTH, USER_PROFILE
from fusionrec.profile import Profiles
from tests.suites.serving import NOW, NOW_MS, active_model, interaction, recommender

CLOCK = FixedClock(NOW)


@pytest.fixture
def users() -> MemoryFeatures:
    users = MemoryFeatures(CLOCK)
    row = {
        "history_item_ids": ["a", "b"],
        "history_event_types": ["purchase", "view"],
        "history_sent_at": [NOW_MS - 9000, NOW_MS - 8000],
        "n_events": 2,
        "n_events_7d": 2,
        "first_event_at": NOW_MS - 9000,
        "last_event_at": NOW_MS - 8000,
        "monetary_cents": 1250,
        "category_names": ["tea", "milk"],
        "category_weights": [0.75, 0.25],
    }
    users.put(USER_PROFILE, "u", row, NOW_MS)
    return users


def test_a_profile_in_camel_case_with_live_events(users: MemoryFeatures) -> None:
    Absorber(users, users, CLOCK).absorb("u", [interaction("e1", "c", "removal", sent_at=NOW_MS - 1000)])
    wire = Profiles(users, CLOCK).profile("u").model_dump(mode="json", by_alias=True)
    assert wire["interests"] == [{"category": "tea", "weight": 0.75}, {"category": "milk", "weight": 0.25}]
    assert wire["activity"]["nEvents7d"] == 2
    assert wire["activity"]["lastEventAt"] == "2026-10-31T23:59:59Z"
    assert wire["spending"]["totalCents"] == 1250
    assert [event["itemId"] for event in wire["recentEvents"]] == ["c", "b", "a"]
    assert wire["removedItemIds"] == ["c"]
    assert wire["asOfEventId"] == "e1"


def test_a_user_with_live_events_only_is_known(users: MemoryFeatures) -> None:
    Absorber(users, users, CLOCK).absorb("new", [interaction("e1", "c", user_id="new", sent_at=NOW_MS - 1000)])
    activity = Profiles(users, CLOCK).profile("new").activity
    assert activity.first_event_at == activity.last_event_at


def test_nobody_is_an_error(users: MemoryFeatures) -> None:
    with pytest.raises(UnknownUserError, match="'nobody'"):
        Profiles(users, CLOCK).profile("nobody")


def test_half_a_profile_is_not_given(users: MemoryFeatures) -> None:
    users.unreachable.add("user_session")
    with pytest.raises(StoreUnavailableError, match="user_session"):
        Profiles(users, CLOCK).profile("u")


def test_what_is_listed_as_removed_is_what_slates_hide(users: MemoryFeatures, toy_bundle) -> None:
    """Removals of the prepared row, of the live one, and of before the events that it holds; two were taken back."""
    ids = [f"item-{number:02d}" for number in range(1, 11)]
    prepared = [(ids[0], "removal"), (ids[1], "removal"), (ids[2], "purchase"), (ids[3], "removal")]
    prepared += [("elsewhere", "view")] * 30
    items, types = zip(*prepared, strict=True)
    times = [NOW_MS - 900_000 + n for n in range(len(prepared))]
    row = {"history_item_ids": items, "history_event_types": types, "history_sent_at": times, "n_events": 34}
    users.put(USER_PROFILE, "u", row, NOW_MS)
    acts = [(ids[4], "removal"), (ids[5], "removal"), (ids[2], "removal"), *[("elsewhere", "view")] * SESSION_LENGTH]
    acts += [(ids[1], "view"), (ids[5], "purchase")]
    live = [interaction(f"e{n}", *act, sent_at=NOW_MS - 9000 + n) for n, act in enumerate(acts)]
    Absorber(users, users, CLOCK).absorb("u", live)
    profile = Profiles(users, CLOCK).profile("u")
    request = RecommendationRequest.model_validate({"userId": "u", "numResults": 100})
    slate = recommender(active_model(toy_bundle), users, MemorySlates()).recommend(request)
    hidden = set(ids) - {item.item_id for item in slate.item_list}
    assert list(profile.removed_item_ids) == sorted(hidden) == [ids[0], ids[2], ids[3], ids[4]]
    assert len(profile.recent_events) == 20
