from __future__ import annotations

from functions import wiring
from functions.absorb.app import handler as absorb
from functions.local_gateway import LocalContext
from functions.texts.app import handler
from fusionrec.errors import StoreUnavailableError
from fusionrec.messages import to_message
from tests.suites.serving import interaction


def batch(*bodies: str) -> dict:
    return {"Records": [{"messageId": f"m{n}", "body": body, "attributes": {}} for n, body in enumerate(bodies)]}


def failed(answer: dict) -> list[str]:
    return [row["itemIdentifier"] for row in answer["batchItemFailures"]]


def review(number: int, text: str = "it broke"):
    return to_message(interaction(f"e{number}", "item-01", text=text))


def test_the_consumer_hands_texts_on_after_absorbing(world) -> None:
    plain = to_message(interaction("e1", "item-01"))
    assert failed(absorb(batch(plain, review(2)), LocalContext("r"))) == []
    assert [event.event_id for event in world.texts.events] == ["e2"]


def test_a_property_that_looks_like_an_empty_text_hides_none(world) -> None:
    told = to_message(interaction("e1", "item-01", text="it broke", properties={"text": ""}))
    assert failed(absorb(batch(told), LocalContext("r"))) == []
    assert [event.event_id for event in world.texts.events] == ["e1"]


def test_a_text_queue_that_is_away_holds_up_no_session(world) -> None:
    world.texts.unreachable = True
    assert failed(absorb(batch(review(1)), LocalContext("r"))) == []
    assert world.dead.letters == []


def test_the_text_of_an_event_that_was_not_absorbed_waits_for_it(world) -> None:
    world.users.unreachable.add("user_session")
    assert failed(absorb(batch(review(1)), LocalContext("r"))) == ["m0"]
    assert world.texts.events == []


class Feedback:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def absorb(self, events) -> int:
        if any(event.text == "away" for event in events):
            raise StoreUnavailableError("text_votes", "throttled")
        if any(event.text == "odd" for event in events):
            raise RuntimeError("the graph failed")
        self.seen += [event.event_id for event in events]
        return len(events)


def test_a_text_that_fails_fails_alone(world, monkeypatch) -> None:
    feedback = Feedback()
    monkeypatch.setattr(wiring, "text_feedback", lambda: feedback)
    told = batch(review(1), review(2, "away"), "{", review(3, "odd"), review(4))
    assert failed(handler(told, LocalContext("r"))) == ["m1", "m2", "m3"]
    assert feedback.seen == ["e1", "e4"]
