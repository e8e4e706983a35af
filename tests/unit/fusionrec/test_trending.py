"""What counts as a touch, and what gains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import log

import pytest

from fusionrec.adapters.memory import FixedClock, MemoryCounts
from fusionrec.bundle.loader import load_bundle
from fusionrec.catalogue_answers import trending_items
from fusionrec.ports import Interaction, Touch
from fusionrec.trending import HOUR_MS, KEPT_DAYS, N_VOICES, Trends, gains, touches_of

NOW = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
HOUR, DAY = NOW_MS // HOUR_MS, NOW_MS // HOUR_MS // 24


def event(item: str = "tea", kind: str = "view", at: int = NOW_MS, who: str = "u", **fields) -> Interaction:
    return Interaction("e", who, "s", item, kind, at, **fields)


def test_one_person_counts_once_an_hour_and_kind() -> None:
    hammering = [event(at=NOW_MS - n * 1000) for n in range(500)]
    assert touches_of(hammering, NOW) == [Touch("u", "tea", "view", HOUR)]
    assert len(touches_of([event(kind=kind) for kind in ("view", "cart", "cart")], NOW)) == 2


def flood(n: int, kind: str = "view") -> list[Touch]:
    return touches_of([event(kind=kind, who=f"session:{number}") for number in range(n)], NOW)


@pytest.mark.parametrize("kind", ["view", "cart", "purchase"])
def test_sessions_without_a_user_have_few_voices_and_each_is_worth_a_view(kind: str) -> None:
    assert len(flood(1, kind)) == 1
    assert {touch.event_type for touch in flood(50, kind)} == {"view"}
    assert 16 <= len(flood(32, kind)) <= N_VOICES
    assert len(flood(2_000, kind)) == N_VOICES
    everything = flood(2_000, "view") + flood(2_000, "purchase")
    assert len(set(everything)) == N_VOICES


def test_a_flood_of_sessions_moves_an_item_less_than_forty_users_do() -> None:
    counts = MemoryCounts()
    counts.add(flood(5_000, "purchase"))
    counts.add(touches_of([event("jam", who=f"u{number}") for number in range(40)], NOW))
    found = Trends(counts, FixedClock(NOW)).gains()
    assert found is not None
    assert found["tea"] < found["jam"]


def test_voices_are_a_function_of_the_set_of_events() -> None:
    events = [event(who=f"session:{number}") for number in range(100)]
    assert touches_of(events[::-1] + events, NOW) == touches_of(events, NOW)
    assert set(touches_of(events[:50], NOW)) | set(touches_of(events[50:], NOW)) == set(touches_of(events, NOW))


def test_removals_impressions_and_copies_are_no_touch() -> None:
    assert touches_of([event(kind="removal"), event(kind="impression"), event(handed=True)], NOW) == []


@pytest.mark.parametrize(("hours", "n"), [(0, 1), (KEPT_DAYS * 24, 1), (KEPT_DAYS * 24 + 1, 0), (-24, 1), (-72, 0)])
def test_what_is_too_old_or_of_the_future_does_not_count(hours: int, n: int) -> None:
    assert len(touches_of([event(at=NOW_MS - hours * HOUR_MS)], NOW)) == n


def test_what_is_as_usual_gains_nothing() -> None:
    """The same worth in every hour, for as long as there are counts."""
    hours = {HOUR - n: {"tea": 10} for n in range(1, 48)} | {HOUR: {"tea": 5}}
    days = {DAY - n: {"tea": 240} for n in range(1, 28)} | {DAY: {"tea": 125}}
    assert gains(hours, days, NOW_MS)["tea"] == pytest.approx(0.0, abs=0.01)
    young = {DAY: {"tea": 125}, DAY - 1: {"tea": 240}}  # counting began yesterday
    assert gains(hours, young, NOW_MS)["tea"] == pytest.approx(0.0, abs=0.03)


def test_a_gain_is_the_logarithm_of_late_to_expected() -> None:
    late, age = 40.0, 2.0  # hours between the middle of that hour and now
    hours = {HOUR - 2: {"tea": 40}}
    days = {DAY - 20: {"other": 1}, DAY: {"tea": 40}}
    ran = [min(1.0, 0.5 + n) for n in range(48)]
    weights = [2 ** (-(0.25 if n == 0 else n) / 6) for n in range(48)]
    late_time = sum(r * w for r, w in zip(ran, weights, strict=True))
    part = (12.5) / 24
    usual_time = part * 2 ** (-part / 2 / 7) + sum(2 ** (-(part + n - 0.5) / 7) for n in range(1, 21))
    expected = 40 * 2 ** (-part / 2 / 7) * late_time / (24 * usual_time)
    late *= 2 ** (-age / 6)
    assert gains(hours, days, NOW_MS)["tea"] == pytest.approx(log((late + 5) / (expected + 5)))


def test_a_touch_or_two_are_no_trend_and_a_surge_passes() -> None:
    hours = {HOUR: {"two": 2, "surge": 60}}
    days = {DAY: {"two": 2, "surge": 60}, DAY - 9: {"surge": 1}}
    found = gains(hours, days, NOW_MS)
    assert "two" not in found
    assert found["surge"] > 1.0
    later = NOW_MS + 47 * HOUR_MS
    assert "surge" not in gains(hours, days, later)


class TestTrends:
    def test_counts_are_kept_for_seconds(self) -> None:
        clock, counts = FixedClock(NOW), MemoryCounts()
        trends = Trends(counts, clock)
        assert trends.gains() == {}
        counts.add([Touch(f"u{n}", "tea", "view", HOUR) for n in range(30)])
        assert trends.gains() == {}
        clock.move(timedelta(seconds=11))
        assert trends.gains() == pytest.approx({"tea": log(35 / 5)}, abs=0.2)

    def test_a_store_that_is_away_is_bridged_and_then_said(self) -> None:
        clock, counts = FixedClock(NOW), MemoryCounts()
        trends = Trends(counts, clock)
        counts.add([Touch(f"u{n}", "tea", "view", HOUR) for n in range(30)])
        assert trends.gains()
        counts.unreachable = True
        clock.move(timedelta(minutes=10))
        assert trends.gains()
        clock.move(timedelta(minutes=10))
        assert trends.gains() is None
        counts.unreachable = False
        clock.move(timedelta(seconds=5))
        assert trends.gains() is not None

    def test_a_store_that_did_not_answer_is_left_alone_for_a_while(self) -> None:
        class Counting(MemoryCounts):
            n_asked = 0

            def hours(self, first, last, deadline):
                self.n_asked += 1
                return super().hours(first, last, deadline)

        clock, counts = FixedClock(NOW), Counting(unreachable=True)
        trends = Trends(counts, clock)
        assert [trends.gains() for _ in range(50)] == [None] * 50
        assert counts.n_asked == 1
        counts.unreachable = False
        clock.move(timedelta(seconds=4.9))
        assert trends.gains() is None
        clock.move(timedelta(seconds=0.1))
        assert trends.gains() == {}
        assert counts.n_asked == 2

    def test_a_store_that_never_answered(self) -> None:
        assert Trends(MemoryCounts(unreachable=True), FixedClock(NOW)).gains() is None


class TestAnswer:
    @pytest.fixture
    def bundle(self, toy_bundle):
        return load_bundle(toy_bundle)

    def test_what_gains_comes_first_and_the_models_trend_fills_up(self, bundle) -> None:
        gaining = {"item-04": 0.5, "item-07": 2.0, "item-01": -1.0, "unknown": 9.0}
        answer = trending_items(bundle, None, 5, gaining)
        assert [(item.item_id, item.score) for item in answer.item_list[:2]] == [("item-07", 2.0), ("item-04", 0.5)]
        rest = [item.item_id for item in answer.item_list[2:]]
        model = [item.item_id for item in trending_items(bundle, None, 10, {}).item_list]
        assert rest == [item for item in model if item not in ("item-07", "item-04")][:3]
        assert {item.score for item in answer.item_list[2:]} == {0.0}
        assert (answer.source, answer.degraded) == ("live", ())

    def test_of_a_category(self, bundle) -> None:
        category = trending_items(bundle, None, 10, {}).item_list[0].metadata.category
        own = [item.item_id for item in trending_items(bundle, category, 10, {}).item_list]
        other = next(f"item-{n:02d}" for n in range(1, 11) if f"item-{n:02d}" not in own)
        answer = trending_items(bundle, category, 10, {own[-1]: 1.0, other: 3.0})
        assert answer.item_list[0].item_id == own[-1]
        assert other not in [item.item_id for item in answer.item_list]

    @pytest.mark.parametrize(("found", "degraded"), [({}, ()), (None, ("item_counts",))])
    def test_without_counts_the_model_answers(self, bundle, found, degraded) -> None:
        answer = trending_items(bundle, None, 3, found)
        assert (answer.source, answer.degraded, len(answer.item_list)) == ("model", degraded, 3)
        assert answer.item_list[0].score >= answer.item_list[1].score
