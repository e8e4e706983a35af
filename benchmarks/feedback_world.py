"""The feedback path with everything that goes wrong: a queue that delivers at least once, stores that throttle, time
out after writing, and consumers that die between any two steps. The consumer's code itself is the real one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count, islice
from random import Random

from fusionrec.absorb import Absorber, Consumer, Delivery
from fusionrec.adapters.memory import FixedClock, MemoryCounts, MemoryDeadLetters, MemoryFeatures, MemoryLinks
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import DAY_MS, USER_SESSION
from fusionrec.messages import to_message
from fusionrec.ports import (
    Deadline,
    Interaction,
    ItemCounts,
    Message,
    Row,
    SessionLink,
    Touch,
    UserState,
    default_row,
)
from fusionrec.session_state import absorb_events
from fusionrec.state_keys import SESSION_PREFIX

BATCH = 10
CLOCK = FixedClock(datetime(2026, 11, 1, tzinfo=UTC))
START_MS = int(CLOCK.now().timestamp() * 1000) - 30 * DAY_MS


class ConsumerKilled(BaseException):
    """The process is gone: no handler of the code under test may catch this."""


@dataclass
class Faults:
    """Whether the next step goes wrong, by chance or at one chosen step."""

    random: Random
    kill: float = 0.0  # chance that the consumer dies, before or after a step
    unavailable: float = 0.0  # chance that a store does not answer, before or after it did what it was asked for
    kill_at: int = -1
    n_steps: int = 0
    n_faults: int = 0

    def step(self, store: str, *, may_be_away: bool = True) -> None:
        self.n_steps += 1
        if self.n_steps - 1 == self.kill_at or self.random.random() < self.kill:
            self.n_faults += 1
            raise ConsumerKilled
        if may_be_away and self.random.random() < self.unavailable:
            self.n_faults += 1
            raise StoreUnavailableError(store, "injected")


@dataclass
class FaultyFeatures:
    inner: MemoryFeatures
    faults: Faults

    def read(self, user_id: str, deadline: Deadline) -> UserState:
        try:
            self.faults.step("user_session")
        except StoreUnavailableError:
            return UserState(missing=(USER_SESSION.name,))
        return self.inner.read(user_id, deadline)

    def write(self, user_id: str, row: Row, event_at: int, replacing: Row | None = None) -> None:
        self.faults.step("user_session")
        self.inner.write(user_id, row, event_at, replacing)
        self.faults.step("user_session")


@dataclass
class FaultyLinks:
    inner: MemoryLinks
    faults: Faults

    def users(self, session_id: str) -> frozenset[str]:
        self.faults.step("session_links")
        return self.inner.users(session_id)

    def add(self, session_id: str, user_id: str, at: int) -> None:
        self.faults.step("session_links")
        self.inner.add(session_id, user_id, at)
        self.faults.step("session_links")


@dataclass
class FaultyCounts:
    """Dies, but answers: what is trending is not counted while its table is away."""

    inner: ItemCounts
    faults: Faults

    def add(self, touches: Sequence[Touch]) -> None:
        self.faults.step("item_counts", may_be_away=False)
        self.inner.add(touches)
        self.faults.step("item_counts", may_be_away=False)

    def hours(self, first: int, last: int, deadline: Deadline) -> Mapping[int, Mapping[str, int]]:
        return self.inner.hours(first, last, deadline)

    def days(self, first: int, last: int, deadline: Deadline) -> Mapping[int, Mapping[str, int]]:
        return self.inner.days(first, last, deadline)


@dataclass
class Queue:
    """FIFO by group, delivers at least once; a message stays until it is acknowledged."""

    faults: Faults
    duplicates: float = 0.0
    groups: dict[str, deque[Delivery]] = field(default_factory=lambda: defaultdict(deque))
    n_delivered: int = 0
    _ids: count[int] = field(default_factory=count)

    def put(self, messages: Sequence[Message]) -> None:
        """As the onward sink of a consumer: it may fail half-way, having taken some."""
        for message in messages:
            self.faults.step("event_queue")
            self.add(to_message(message), message.group)

    def add(self, body: str, group: str) -> None:
        for _ in range(2 if self.faults.random.random() < self.duplicates else 1):
            self.groups[group].append(Delivery(str(next(self._ids)), body, group, 0))

    def take(self) -> list[Delivery]:
        """Up to ten messages of up to three groups, each group's oldest first."""
        chosen: list[Delivery] = []
        names = self._some_groups()
        for name in names:
            held = self.groups[name]
            for place in range(min(len(held), BATCH - len(chosen), self.faults.random.randint(1, BATCH))):
                held[place] = replace(held[place], attempt=held[place].attempt + 1)
                chosen.append(held[place])
        self.n_delivered += len(chosen)
        return chosen

    def _some_groups(self) -> list[str]:
        names = list(islice(self.groups, 64))
        return self.faults.random.sample(names, min(3, len(names)))

    def acknowledge(self, taken: Sequence[Delivery], failed: Iterable[str]) -> None:
        again = set(failed)
        done = {delivery.message_id for delivery in taken} - again
        for group in {delivery.group for delivery in taken}:
            kept = deque(delivery for delivery in self.groups[group] if delivery.message_id not in done)
            if kept:
                self.groups[group] = kept
            else:
                del self.groups[group]


class World:
    """A queue, a consumer, and the stores behind it."""

    def __init__(self, faults: Faults, duplicates: float = 0.0, counts: ItemCounts | None = None) -> None:
        self.counts = counts or MemoryCounts()
        self.features, self.links, self.dead = MemoryFeatures(CLOCK), MemoryLinks(), MemoryDeadLetters()
        self.faults = faults
        self.queue = Queue(faults, duplicates)
        faulty = FaultyFeatures(self.features, faults)
        absorber = Absorber(faulty, faulty, CLOCK, FaultyLinks(self.links, faults), FaultyCounts(self.counts, faults))
        self.consumer = Consumer(absorber, self.queue, self.dead)
        self.n_killed = self.n_redriven = 0

    def run(self) -> None:
        """Until the queue is empty; dead letters are driven back, as an operator does once the cause is gone."""
        while self.queue.groups or self.dead.letters:
            if not self.queue.groups:
                self.n_redriven += len(self.dead.letters)
                for body, group, _, _ in self.dead.letters:
                    self.queue.add(body, group)
                self.dead.letters.clear()
            taken = self.queue.take()
            try:
                failed = self.consumer.consume(taken)
                self.faults.step("acknowledgement")
            except ConsumerKilled:
                self.n_killed += 1
                continue
            except StoreUnavailableError:
                continue  # the acknowledgement did not arrive
            self.queue.acknowledge(taken, failed)

    def row(self, key: str) -> Row:
        return self.features.read(key, CLOCK.deadline(1)).session


def replayed(messages: Iterable[Message]) -> dict[str, Row]:
    """What the set of messages means: every user's own events and those of the sessions in which it logged in."""
    owned: dict[str, dict[str, Interaction]] = defaultdict(dict)
    users: dict[str, set[str]] = defaultdict(set)
    events: list[Interaction] = []
    for message in messages:
        if isinstance(message, SessionLink):
            users[message.group].add(message.user_id)
        else:
            events.append(message)
    for event in sorted(events, key=lambda event: (event.sent_at, event.event_id)):
        for owner in (event.user_id, *users[event.user_id]):
            owned[owner].setdefault(event.event_id, event)
    return {key: absorb_events(default_row(USER_SESSION), found.values()) for key, found in owned.items()}


def history(
    random: Random,
    n_events: int,
    n_users: int,
    n_items: int = 40,
    anonymous: float = 0.3,
    linked: float = 0.3,
) -> list[Message]:
    """Shoppers who browse anonymously and log in, some of them, within sessions of their own.

    linked: how often an event of a user who is logged in tells so; the real intake tells it each time
    """
    types = ("view", "view", "view", "click", "cart", "purchase", "removal")
    messages: list[Message] = []
    for number in range(n_events):
        user = random.randrange(n_users)
        session = f"s{user}-{random.randrange(3)}"
        signed_in = random.random() >= anonymous
        at = START_MS + random.randrange(10_000) * 1000
        owner = f"u{user}" if signed_in else SESSION_PREFIX + session
        messages.append(
            Interaction(f"e{number}", owner, session, f"i{random.randrange(n_items)}", random.choice(types), at)
        )
        if signed_in and random.random() < linked:
            messages.append(SessionLink(session, f"u{user}", at))
    return messages
