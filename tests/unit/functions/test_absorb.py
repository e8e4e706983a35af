from __future__ import annotations

from functions.absorb.app import handler
from functions.local_gateway import LocalContext
from fusionrec.absorb import FAILED_ATTEMPTS, MAX_ATTEMPTS, Absorber, Consumer, Delivery
from fusionrec.adapters.clock import Countdown
from fusionrec.adapters.memory import FixedClock, MemoryDeadLetters, MemoryFeatures, MemorySink
from fusionrec.errors import StoreUnavailableError
from fusionrec.messages import to_message
from fusionrec.ports import Deadline, UserState
from tests.suites.serving import NOW, interaction


def batch(*bodies: str, attempt: int = 1) -> dict:
    attributes = {"ApproximateReceiveCount": str(attempt), "MessageGroupId": "g"}
    records = [{"messageId": f"m{n}", "body": body, "attributes": attributes} for n, body in enumerate(bodies)]
    return {"Records": records}


def failed(answer: dict) -> list[str]:
    return [row["itemIdentifier"] for row in answer["batchItemFailures"]]


def row(users: MemoryFeatures, user_id: str):
    return users.read(user_id, FixedClock(NOW).deadline(10)).session


def test_a_batch_of_several_users_is_absorbed(world) -> None:
    messages = [to_message(interaction(f"e{n}", "item-01", user_id=f"u{n % 2}")) for n in range(4)]
    assert failed(handler(batch(*messages), LocalContext("r"))) == []
    assert row(world.users, "u0")["event_ids"] == ["e0", "e2"]
    assert row(world.users, "u1")["event_ids"] == ["e1", "e3"]


def test_a_foreign_message_is_given_up_at_once_with_the_reason(world) -> None:
    good = to_message(interaction("e1", "item-01"))
    assert failed(handler(batch("{", good), LocalContext("r"))) == []
    assert row(world.users, "u")["event_ids"] == ["e1"]
    ((body, group, reason, detail),) = world.dead.letters
    assert (body, group, reason) == ("{", "g", "unreadable")
    assert "not an event message" in detail


def test_a_foreign_message_stays_on_the_queue_while_the_dead_letters_are_away(world) -> None:
    world.dead.unreachable = True
    assert failed(handler(batch("{"), LocalContext("r"))) == ["m0"]


def test_what_fails_for_the_last_time_is_given_up_with_the_reason(world) -> None:
    world.users.unreachable.add("user_session")
    message = to_message(interaction("e1", "item-01"))
    assert failed(handler(batch(message, attempt=MAX_ATTEMPTS - 1), LocalContext("r"))) == ["m0"]
    assert world.dead.letters == []
    assert failed(handler(batch(message, attempt=MAX_ATTEMPTS), LocalContext("r"))) == []
    ((body, _, reason, detail),) = world.dead.letters
    assert (body, reason) == (message, "unavailable")
    assert "user_session" in detail


class Broken(MemoryFeatures):
    def read(self, user_id: str, deadline: Deadline) -> UserState:
        raise ValueError("a row of no known form")


def test_what_no_waiting_mends_is_given_up_sooner() -> None:
    dead, users = MemoryDeadLetters(), Broken(FixedClock(NOW))
    consumer = Consumer(Absorber(users, users, FixedClock(NOW)), MemorySink(), dead)
    message = to_message(interaction("e1", "item-01"))
    assert consumer.consume([Delivery("m0", message, "g", FAILED_ATTEMPTS - 1)]) == ["m0"]
    assert dead.letters == []
    assert consumer.consume([Delivery("m0", message, "g", FAILED_ATTEMPTS)]) == []
    assert [reason for _, _, reason, _ in dead.letters] == ["failed"]


class Ticking(FixedClock):
    """Its deadlines run by `spent_ms`."""

    spent_ms = 0.0

    def deadline(self, budget_ms: float) -> Deadline:
        return Countdown(budget_ms, timer=lambda: self.spent_ms / 1000)


class Silent(MemoryFeatures):
    """Each read takes six seconds and finds nothing out."""

    def __init__(self, clock: Ticking) -> None:
        super().__init__(clock)
        self.clock, self.asked = clock, list[str]()
        self.unreachable.add("user_session")

    def read(self, user_id: str, deadline: Deadline) -> UserState:
        self.clock.spent_ms += 6000.0
        self.asked.append(user_id)
        return super().read(user_id, deadline)


def test_silent_stores_do_not_keep_a_batch_beyond_its_time() -> None:
    users = Silent(clock := Ticking(NOW))
    consumer = Consumer(Absorber(users, users, clock), MemorySink(), MemoryDeadLetters())
    messages = [to_message(interaction(f"e{n}", "item-01", user_id=f"u{n}")) for n in range(5)]
    taken = [Delivery(f"m{n}", message, f"u{n}") for n, message in enumerate(messages)]
    assert consumer.consume(taken) == ["m0", "m1", "m2", "m3", "m4"]
    assert users.asked == ["u0", "u1"]


def test_a_user_whose_write_fails_fails_alone_with_all_its_messages(world, monkeypatch) -> None:
    write = world.users.write

    def refuse_one(user_id, values, event_at, replacing=None):
        if user_id == "u0":
            raise StoreUnavailableError("user_session", "throttled")
        write(user_id, values, event_at, replacing)

    monkeypatch.setattr(world.users, "write", refuse_one)
    messages = [to_message(interaction(f"e{n}", "item-01", user_id=f"u{n % 2}")) for n in range(4)]
    assert failed(handler(batch(*messages), LocalContext("r"))) == ["m0", "m2"]
    assert row(world.users, "u1")["event_ids"] == ["e1", "e3"]


def test_a_user_whose_row_is_damaged_does_not_hold_up_the_others(world, monkeypatch) -> None:
    write = world.users.write

    def break_on_one(user_id, values, event_at, replacing=None):
        if user_id == "u0":
            raise KeyError("a damaged row")
        write(user_id, values, event_at, replacing)

    monkeypatch.setattr(world.users, "write", break_on_one)
    messages = [to_message(interaction(f"e{n}", "item-01", user_id=f"u{n % 2}")) for n in range(4)]
    assert failed(handler(batch(*messages), LocalContext("r"))) == ["m0", "m2"]
    assert row(world.users, "u1")["event_ids"] == ["e1", "e3"]


def test_a_repeated_delivery_changes_nothing(world) -> None:
    one = batch(to_message(interaction("e1", "item-01")))
    handler(one, LocalContext("r"))
    before = dict(row(world.users, "u"))
    handler(one, LocalContext("r"))
    assert dict(row(world.users, "u")) == before
