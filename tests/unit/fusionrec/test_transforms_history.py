from typing import Any

from fusionrec.feature_spec import HISTORY_LENGTH, USER_PROFILE, USER_SESSION
from fusionrec.ports import default_row
from fusionrec.transforms import merge_history


def profile(*events: tuple[str, str, int]) -> dict[str, Any]:
    items, types, times = zip(*events, strict=True) if events else ((), (), ())
    row = {"history_item_ids": list(items), "history_event_types": list(types), "history_sent_at": list(times)}
    return {**default_row(USER_PROFILE), **row}


def session(*events: tuple[str, str, int]) -> dict[str, Any]:
    items, types, times = zip(*events, strict=True) if events else ((), (), ())
    row = {"item_ids": list(items), "event_types": list(types), "sent_at": list(times)}
    return {**default_row(USER_SESSION), **row}


def test_live_events_follow_the_profile() -> None:
    merged = merge_history(profile(("a", "view", 1)), session(("b", "cart", 2)), 9)
    assert merged.item_ids == ("a", "b")
    assert merged.event_types == ("view", "cart")
    assert merged.sent_at == (1, 2)


def test_an_event_in_both_rows_counts_once_and_a_true_repetition_twice() -> None:
    stored = profile(("a", "purchase", 1), ("a", "purchase", 1), ("b", "view", 2))
    live = session(("a", "purchase", 1), ("b", "view", 2), ("b", "cart", 2), ("c", "view", 3))
    assert merge_history(stored, live, 9).item_ids == ("a", "a", "b", "b", "c")


def test_a_late_event_takes_its_place_in_time() -> None:
    merged = merge_history(profile(("a", "view", 1), ("c", "view", 3)), session(("b", "view", 2)), 9)
    assert merged.item_ids == ("a", "b", "c")


def test_what_a_full_profile_has_forgotten_stays_forgotten() -> None:
    full = profile(*((f"i{at}", "view", at) for at in range(10, 10 + HISTORY_LENGTH)))
    merged = merge_history(full, session(("old", "view", 5), ("new", "view", 999)), 999)
    assert "old" not in merged.item_ids
    assert merged.item_ids[-1] == "new"


def test_the_newest_events_are_kept() -> None:
    assert merge_history(profile(("a", "view", 1), ("b", "view", 2)), session(), 1).item_ids == ("b",)
    assert merge_history(profile(), session(), 5).item_ids == ()
