from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from fusionrec.absorb import Absorber
from fusionrec.adapters.local_files import DirectSink
from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemoryLog, MemorySink
from fusionrec.contracts.events import EventsRequest
from fusionrec.errors import StoreUnavailableError
from fusionrec.ingest import Ingester
from tests.suites.serving import NOW, active_model

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # one emoji of three, joined


@pytest.fixture(scope="module")
def model(toy_bundle):
    return active_model(toy_bundle)


@pytest.fixture
def users() -> MemoryFeatures:
    return MemoryFeatures(FixedClock(NOW))


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def use_case(sink, log, users, model) -> Ingester:
    return Ingester(sink, log, users, model, FixedClock(NOW))


def event(event_id="e1", **fields):
    return {"eventId": event_id, "eventType": "view", "itemId": "item-01", "sentAt": NOW.isoformat(), **fields}


def send(use_case, *events, **who):
    return use_case.ingest(
        EventsRequest.model_validate({"userId": "u", "sessionId": "s", **who, "eventList": list(events)})
    )


def codes(answer) -> list[tuple[int, str]]:
    return [(row.index, row.code) for row in answer.rejected]


def test_good_events_are_taken_with_all_their_fields(use_case, sink) -> None:
    answer = send(
        use_case,
        event(eventValue=3, sentAt="2026-10-31T23:00:00.250+02:00", impression=["item-01", "item-02"],
              recommendationId="r", properties={"page": "home"}, text="ok"),
    )  # fmt: skip
    assert (answer.accepted, answer.duplicates, answer.rejected) == (1, 0, ())
    taken = sink.taken[0]
    assert taken.sent_at == 1_793_480_400_250
    assert (taken.user_id, taken.session_id, taken.event_value) == ("u", "s", 3.0)
    assert (taken.impression, taken.recommendation_id, taken.text) == (("item-01", "item-02"), "r", "ok")
    assert taken.properties == {"page": "home"}


def test_times_are_cut_to_the_millisecond_as_prepared_data_are(use_case, sink) -> None:
    send(use_case, event(sentAt="2026-10-31T21:00:00.250999Z"))
    assert sink.taken[0].sent_at == 1_793_480_400_250


def test_one_bad_event_does_not_lose_the_others(use_case, sink) -> None:
    answer = send(
        use_case,
        event("e1"),
        event("e2", itemId="gone"),
        event("e3", eventType="bought"),
        "not an event",
        event("e5", sentAt=(NOW + timedelta(days=2)).isoformat()),
        event("e6", sentAt="2026-10-01"),
        event("e7", sentAt=1_700_000_000),
        event("e8", eventValue=-1),
        event("e9", colour="red"),
        event("e10"),
    )
    assert answer.accepted == 2
    assert [taken.event_id for taken in sink.taken] == ["e1", "e10"]
    expected = ["unknown-item", "invalid", "invalid", "sent-in-future", *["invalid"] * 4]
    assert codes(answer) == list(zip(range(1, 9), expected, strict=True))
    details = " ".join(row.detail for row in answer.rejected)
    assert "colour: unknown field" in details
    assert "EventsRequest" not in details
    assert "instance of" not in details  # no internal name


def test_a_clock_that_was_never_set_is_told(use_case, users, sink, log, model) -> None:
    old = [event(f"e{year}", sentAt=f"{year}-12-31T23:59:59Z") for year in (1969, 1999, 2000)]
    answer = send(use_case, *old)
    assert codes(answer) == [(0, "sent-too-early"), (1, "sent-too-early")]
    assert answer.rejected[1].detail == "sentAt 1999-12-31T23:59:59+00:00 lies before the year 2000"
    in_those_days = Ingester(sink, log, users, model, FixedClock(NOW.replace(year=1999)))
    assert send(in_those_days, event("then", sentAt="1999-01-01T00:00:00Z")).accepted == 1


@pytest.mark.parametrize(
    "unfit", ["\0", "\n", "\x9f", "\u2028", "\u202e", "\u2069", "\u200b", "\ufeff", "\xad", "\u206a"]
)
@pytest.mark.parametrize("field", ["eventId", "itemId"])
def test_an_id_holds_nothing_that_cannot_be_seen(use_case, field: str, unfit: str) -> None:
    answer = send(use_case, event(**{"event_id": "e1"} | {field: f"item-01{unfit}"}))
    assert codes(answer) == [(0, "invalid")]
    told = (
        f"{field}: holds a control character, an invisible character, a line break or a direction control (embedding, "
        f"override, isolate); take it out: U+{ord(unfit):04X}; got "
    )
    assert answer.rejected[0].detail.startswith(told)
    assert unfit not in answer.rejected[0].detail


@pytest.mark.parametrize("field", ["userId", "sessionId"])
def test_whose_id_is_unfit_is_refused_whole(use_case, field: str) -> None:
    with pytest.raises(ValidationError, match=r"take it out: U\+202E"):
        send(use_case, event(), **{field: "u\u202e"})


@pytest.mark.parametrize(
    "seen", ["\u00e9", "\u200e", "\u200f", "\U0001f375", "\u0627", "a b", "\u3042", FAMILY, "\u0645\u06cc\u200c\u062e"]
)
def test_ids_of_any_script_are_fit(use_case, seen: str) -> None:
    assert send(use_case, event(f"e{seen}"), userId=f"u{seen}").accepted == 1


@pytest.mark.parametrize(
    "unseen", ["\u200d", "\u200c\u200f", " \ufe0f", "\u115f\u1160", "\u180e", "\u061c", "\u2800", "\U000e0100"]
)
def test_marks_that_need_others_are_no_id_alone(use_case, unseen: str) -> None:
    with pytest.raises(ValidationError, match="invisible characters alone are no id"):
        send(use_case, event(), userId=unseen)


def test_repetitions_in_one_request_count_as_duplicates(use_case, sink) -> None:
    answer = send(use_case, event("e1"), event("e1"), event("e1", itemId="item-02"))
    assert (answer.accepted, answer.duplicates) == (1, 1)
    assert codes(answer) == [(2, "event-id-reused")]
    assert len(sink.taken) == 1


def test_repetitions_of_earlier_requests_are_known_from_the_session(users, model) -> None:
    sink = DirectSink(Absorber(users, users, FixedClock(NOW)))
    use_case = Ingester(sink, MemoryLog(), users, model, FixedClock(NOW))
    assert send(use_case, event("e1", eventValue=0.1)).accepted == 1
    answer = send(use_case, event("e1", eventValue=0.1), event("e1", eventType="cart"), event("e2"))
    assert (answer.accepted, answer.duplicates) == (1, 1)
    assert codes(answer) == [(1, "event-id-reused")]


def test_the_same_event_id_of_two_users_is_two_events(use_case) -> None:
    assert send(use_case, event("e1")).accepted == 1
    assert send(use_case, event("e1", itemId="item-02"), userId="v").accepted == 1


def test_a_visitor_without_user_id_is_kept_under_its_session(use_case, sink) -> None:
    send(use_case, event("e1"), userId=None)
    assert sink.taken[0].user_id == "session:s"


def test_a_queue_that_is_away_is_an_error_and_loses_nothing(use_case, sink) -> None:
    sink.unreachable = True
    with pytest.raises(StoreUnavailableError):
        send(use_case, event("e1"))
    sink.unreachable = False
    assert send(use_case, event("e1")).accepted == 1


def test_events_are_logged_before_they_count(use_case, sink, log) -> None:
    log.unreachable = True
    with pytest.raises(StoreUnavailableError):
        send(use_case, event("e1"))
    assert sink.taken == []  # what the log lacks must not become a feature
    log.unreachable = False
    assert send(use_case, event("e1")).accepted == 1
    assert log.events == sink.taken
    assert log.events[0].received_at == int(NOW.timestamp() * 1000)


def test_an_impression_is_logged_and_changes_no_feature(use_case, sink, log) -> None:
    shown = event("e1", eventType="impression", impression=["item-02", "gone"], recommendationId="r")
    del shown["itemId"]
    assert send(use_case, shown).accepted == 1
    assert (sink.taken, log.events[0].event_type, log.events[0].item_id) == ([], "impression", "")
    assert log.events[0].impression == ("item-02", "gone")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"eventType": "impression", "impression": ["a"], "itemId": "item-01"}, "no itemId"),
        ({"eventType": "impression"}, "has the field impression"),
        ({"eventType": "view"}, "itemId is required for a view"),
    ],
)
def test_an_event_is_of_an_item_and_an_impression_of_a_list(use_case, fields, told) -> None:
    bad = {"eventId": "e1", "sentAt": NOW.isoformat(), **fields}
    (rejected,) = send(use_case, bad).rejected
    assert rejected.code == "invalid"
    assert told in rejected.detail


def test_both_ids_say_that_the_session_is_the_users(use_case, sink) -> None:
    send(use_case, event("e1"))
    send(use_case, event("e2"), userId=None)
    assert [(link.session_id, link.user_id) for link in sink.links] == [("s", "u")]


def test_an_unreadable_session_does_not_stop_intake(use_case, users) -> None:
    users.unreachable.add("user_session")
    assert send(use_case, event("e1")).accepted == 1


def test_absorbing_never_writes_onto_a_row_it_could_not_read(users) -> None:
    from tests.suites.serving import interaction  # noqa: PLC0415

    absorber = Absorber(users, users, FixedClock(NOW))
    absorber.absorb("u", [interaction("e1", "item-01")])
    blind = MemoryFeatures(FixedClock(NOW))
    blind.unreachable.add("user_session")
    with pytest.raises(StoreUnavailableError):
        Absorber(blind, users, FixedClock(NOW)).absorb("u", [interaction("e2", "item-01")])
    absorber.absorb("u", [interaction("e2", "item-01")])
    assert users.read("u", FixedClock(NOW).deadline(10)).session["event_ids"] == ["e1", "e2"]
