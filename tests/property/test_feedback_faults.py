"""Whatever arrives late, twice, shuffled or broken leaves the features as a sorted replay of the events would."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.feedback_world import START_MS, Faults, World, history, replayed
from fusionrec.feature_spec import SESSION_LENGTH
from fusionrec.ports import Interaction, Message, SessionLink
from fusionrec.state_keys import SESSION_PREFIX

N_HISTORIES = int(os.environ.get("FUSIONREC_PROPERTY_EXAMPLES", "2000"))  # CI stays within some 20 s


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Every injected fault is logged as the error that it is: tens of thousands of lines."""
    logger = logging.getLogger("fusionrec")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(level)


def deliver(world: World, messages: list[Message], random: Random) -> None:
    shuffled = [*messages, *random.choices(messages, k=len(messages) // 4)]
    random.shuffle(shuffled)
    world.faults.kill, kill = 0.0, world.faults.kill
    world.faults.unavailable, unavailable = 0.0, world.faults.unavailable
    kill_at, world.faults.kill_at = world.faults.kill_at, -1
    world.queue.put(shuffled)
    world.faults.kill, world.faults.unavailable, world.faults.kill_at = kill, unavailable, kill_at
    world.faults.n_steps = 0
    world.run()


def check(world: World, messages: list[Message]) -> None:
    expected = replayed(messages)
    assert {key: world.row(key) for key in expected} == expected
    assert set(world.features._rows["user_session"]) == set(expected)


@settings(max_examples=N_HISTORIES, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_events=st.integers(1, 90),
    n_users=st.integers(1, 4),
    kill=st.sampled_from([0.0, 0.02, 0.1]),
    unavailable=st.sampled_from([0.0, 0.05]),
)
def test_faults_leave_the_state_of_a_sorted_replay(seed, n_events, n_users, kill, unavailable) -> None:
    random = Random(seed)
    messages = history(random, n_events, n_users)
    world = World(Faults(random, kill, unavailable), duplicates=0.1)
    deliver(world, messages, random)
    check(world, messages)


def steps_without_faults(messages: list[Message]) -> int:
    world = World(Faults(Random(0)))
    deliver(world, messages, Random(1))
    return world.faults.n_steps


def test_a_crash_at_any_single_step_changes_nothing() -> None:
    messages = history(Random(3), 40, 2)
    n_steps = steps_without_faults(messages)
    assert n_steps > 60
    for kill_at in range(n_steps):
        world = World(Faults(Random(0), kill_at=kill_at))
        deliver(world, messages, Random(1))
        assert world.n_killed == 1, kill_at
        check(world, messages)


def anonymous(number: int, session: str = "s", **fields) -> Interaction:
    return Interaction(
        f"a{number}", SESSION_PREFIX + session, session, f"i{number}", "view", START_MS + number, **fields
    )


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_session_becomes_its_users_whenever_the_log_in_is_told(order: int) -> None:
    before, after = anonymous(1), anonymous(2)
    link = SessionLink("s", "u", 3)
    messages: list[Message] = [before, after]
    messages.insert(order, link)
    world = World(Faults(Random(0)))
    world.queue.put(messages)
    world.run()
    assert world.row("u")["event_ids"] == ["a1", "a2"]
    assert world.row("session:s")["event_ids"] == ["a1", "a2"]


def test_a_session_without_log_in_stays_by_itself() -> None:
    world = World(Faults(Random(0)))
    world.queue.put([anonymous(1), SessionLink("other", "u", 3)])
    world.run()
    assert world.row("u")["event_ids"] == []


def test_a_long_session_hands_on_its_newest_events_and_removals() -> None:
    removal = Interaction("r", "session:s", "s", "bad", "removal", START_MS)
    messages: list[Message] = [removal, *(anonymous(number) for number in range(1, 3 * SESSION_LENGTH))]
    world = World(Faults(Random(0)))
    world.queue.put([*messages, SessionLink("s", "u", 5)])
    world.run()
    check(world, [*messages, SessionLink("s", "u", 5)])
    assert world.row("u")["removed_item_ids"] == ["bad"]


def test_a_session_id_of_a_crowd_is_nobodys() -> None:
    """A shop that sends one session id for all its visitors must not give everybody everybody's events."""
    crowd = [SessionLink("web", f"u{number}", 1) for number in range(30)]
    world = World(Faults(Random(0)))
    world.queue.put([*crowd, anonymous(1, "web")])
    world.run()
    assert all(world.row(f"u{number}")["event_ids"] == [] for number in range(20, 30))
