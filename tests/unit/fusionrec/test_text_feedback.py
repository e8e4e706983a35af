from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from fusionrec.active_model import ActiveModel
from fusionrec.adapters.memory import FixedClock, MemoryBundles
from fusionrec.adapters.memory_texts import MemoryAlarms, MemoryTexts, MemoryVotes
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import DAY_MS
from fusionrec.hand_on import hand_on, readable
from fusionrec.messages import to_message
from fusionrec.ports import Interaction, SessionLink
from fusionrec.surge import from_bytes
from fusionrec.text.scoring import TextScorer
from fusionrec.text_feedback import ANONYMOUS, TextFeedback
from tests.suites.serving import NOW

NOW_MS = int(NOW.timestamp() * 1000)
GOOD, BAD = "I love it, great and beautiful.", "Terrible, it broke, worst purchase ever."


def review(number: int, text: str, days_ago: float, user: str = "", **fields) -> Interaction:
    at = NOW_MS - int(days_ago * DAY_MS)
    return Interaction(f"e{number}", user or f"u{number}", "s", "item-01", "rating", at, text=text, **fields)


def quiet() -> list[Interaction]:
    return [review(number, GOOD, 60 - number) for number in range(40)]


def burst(n: int = 10, user: str = "") -> list[Interaction]:
    return [review(100 + number, BAD, 1 - number / 100, user) for number in range(n)]


class Shop:
    def __init__(self, bundle: Path) -> None:
        self.votes, self.alarms, self.clock = MemoryVotes(), MemoryAlarms(), FixedClock(NOW)
        scorer = TextScorer.open()
        models = ActiveModel(MemoryBundles({"toy": bundle}, "toy"))
        self.feedback = TextFeedback(lambda: scorer, self.votes, self.alarms, models, self.clock)


@pytest.fixture
def shop(toy_bundle) -> Shop:
    return Shop(toy_bundle)


def test_a_surge_is_told_for_the_item_and_its_category(shop: Shop) -> None:
    shop.feedback.absorb(quiet())
    assert shop.alarms.told == []
    assert shop.feedback.absorb(burst()) == 10
    assert sorted(alarm["kind"] for alarm in shop.alarms.told) == ["category", "item"]
    assert {alarm["name"] for alarm in shop.alarms.told if alarm["kind"] == "item"} == {"item-01"}
    assert shop.alarms.told[0]["topic"] == "quality"


def test_redelivery_changes_nothing_and_tells_nothing(shop: Shop) -> None:
    shop.feedback.absorb([*quiet(), *burst()])
    rows, told = dict(shop.votes.rows), list(shop.alarms.told)
    shop.feedback.absorb(burst()[::-1])
    shop.feedback.absorb(quiet())
    assert (shop.votes.rows, shop.alarms.told) == (rows, told)


def test_one_users_flood_raises_nothing(shop: Shop) -> None:
    shop.feedback.absorb([*quiet(), *burst(50, user="troll")])
    assert shop.alarms.told == []


def test_all_anonymous_sessions_are_one_voter(shop: Shop) -> None:
    shop.feedback.absorb(quiet())
    for number in range(30):
        shop.feedback.absorb([review(200 + number, BAD, 0.5, f"session:{number}")])
    assert shop.alarms.told == []
    assert len(from_bytes(shop.votes.rows["item:item-01"])) == 41
    assert ANONYMOUS == "anonymous"


def test_what_was_sent_late_is_nobodys_alarm(shop: Shop) -> None:
    shop.feedback.absorb(quiet())
    shop.clock.move(timedelta(days=30))
    shop.feedback.absorb(burst())
    assert shop.alarms.told == []


def test_events_without_words_are_not_scored(shop: Shop) -> None:
    blank = [review(1, "  ", 1), Interaction("i", "u", "s", "", "impression", NOW_MS, text="x")]
    assert shop.feedback.absorb(blank) == 0
    assert shop.votes.rows == {}


def test_another_writer_in_between_is_not_overwritten(shop: Shop) -> None:
    once = iter([True])

    def other() -> None:
        if next(once, False):
            shop.feedback.absorb([review(2, BAD, 2)])

    shop.votes.before_write = other
    shop.feedback.absorb([review(1, GOOD, 1)])
    assert len(from_bytes(shop.votes.rows["item:item-01"])) == 2


def test_an_alarm_that_is_not_taken_is_told_when_the_texts_come_again(shop: Shop, monkeypatch) -> None:
    shop.feedback.absorb(quiet())
    tell = shop.alarms.tell

    def away(alarm) -> None:
        raise StoreUnavailableError("event_bus", "away")

    monkeypatch.setattr(shop.alarms, "tell", away)
    with pytest.raises(StoreUnavailableError):
        shop.feedback.absorb(burst())
    monkeypatch.setattr(shop.alarms, "tell", tell)
    shop.feedback.absorb(burst())
    assert shop.alarms.told


def test_texts_that_are_not_taken_fail_nothing() -> None:
    texts = MemoryTexts()
    link = SessionLink("s", "u", 1)
    hand_on(texts, [link, review(1, GOOD, 1), review(2, "", 1)])
    assert [event.event_id for event in texts.events] == ["e1"]
    texts.unreachable = True
    hand_on(texts, [review(3, GOOD, 1)])


def test_bodies_without_text_are_not_parsed_and_damaged_ones_left_out() -> None:
    bodies = [to_message(review(1, "", 1)), to_message(review(2, 'says "text":""', 1)), "{", '{"a":1}']
    assert [message.event_id for message in readable(bodies)] == ["e2"]
