"""What is trending equals a sorted replay of the log, whatever comes late, twice, shuffled, or after a crash."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from benchmarks.feedback_world import CLOCK, Faults, World, history
from fusionrec.absorb import Absorber
from fusionrec.adapters.clock import Countdown
from fusionrec.adapters.item_counts import DynamoCounts
from fusionrec.adapters.local_files import EventFiles
from fusionrec.adapters.memory import MemoryCounts, MemoryFeatures, MemoryLinks
from fusionrec.adapters.sqlite_counts import SqliteCounts
from fusionrec.feature_spec import DAY_MS
from fusionrec.ports import Interaction, ItemCounts, Message, SessionLink
from fusionrec.trending import HOUR_MS, KEPT_DAYS, WORTH
from tests.property.test_feedback_faults import deliver, quiet
from tests.suites.item_counts import table
from training.feedback.log import Log, Window
from training.feedback.replay import replay

__all__ = ["quiet"]

N_HISTORIES = int(os.environ.get("FUSIONREC_PROPERTY_EXAMPLES", "2000")) // 4
NOW_MS = int(CLOCK.now().timestamp() * 1000)
HOUR = NOW_MS // HOUR_MS


def spread(random: Random, messages: list[Message]) -> list[Message]:
    """Over the last 31 days, so that some lie before what counts; often several within an hour."""
    moments = [NOW_MS - random.randrange(31 * DAY_MS) for _ in range(max(len(messages) // 3, 1))]
    return [
        message if isinstance(message, SessionLink) else replace(message, sent_at=random.choice(moments) + n)
        for n, message in enumerate(messages)
    ]


def sorted_replay(messages: list[Message]) -> dict[int, dict[str, int]]:
    """Written down anew: every event once, in the order of time; by hour."""
    counted = set()
    sums: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    events = [message for message in messages if isinstance(message, Interaction)]
    for event in sorted(events, key=lambda event: event.sent_at):
        hour = event.sent_at // 3_600_000
        who, worth = event.user_id, {"cart": 3, "purchase": 5}.get(event.event_type, 1)
        what = (who, event.item_id, event.event_type, hour)
        if who.startswith("session:"):  # one of 32 voices, and whatever it does is worth a view
            what, worth = (hashlib.sha256(who.encode()).digest()[0] % 32, event.item_id, "", hour), 1
        if what not in counted and hour >= HOUR - 28 * 24 and event.event_type != "removal":
            counted.add(what)
            sums[hour][event.item_id] += worth
    return {hour: dict(items) for hour, items in sums.items()}


def check(counts: ItemCounts, messages: list[Message]) -> None:
    expected = sorted_replay(messages)
    assert counts.hours(HOUR - 29 * 24, HOUR + 99, Countdown(1e9)) == expected
    days: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for hour, items in expected.items():
        for item, worth in items.items():
            days[hour // 24][item] += worth
    assert counts.days(HOUR // 24 - 29, HOUR // 24 + 4, Countdown(1e9)) == days


@settings(max_examples=N_HISTORIES, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_events=st.integers(1, 80),
    n_users=st.integers(1, 4),
    kill=st.sampled_from([0.0, 0.02, 0.1]),
    unavailable=st.sampled_from([0.0, 0.05]),
)
def test_faults_leave_the_counts_of_a_sorted_replay(seed, n_events, n_users, kill, unavailable) -> None:
    random = Random(seed)
    messages = spread(random, history(random, n_events, n_users, n_items=6))
    world = World(Faults(random, kill, unavailable), duplicates=0.1)
    deliver(world, messages, random)
    check(world.counts, messages)


@pytest.mark.parametrize("seed", range(5))
def test_so_do_those_in_a_file(seed: int, tmp_path) -> None:
    random = Random(seed)
    messages = spread(random, history(random, 60, 3, n_items=6))
    world = World(Faults(random, 0.05, 0.05), duplicates=0.1, counts=SqliteCounts(tmp_path / "counts.db"))
    deliver(world, messages, random)
    check(world.counts, messages)


def test_a_crash_at_any_single_step_counts_nothing_twice() -> None:
    messages = spread(Random(3), history(Random(3), 30, 2, n_items=6))
    world = World(Faults(Random(0)))
    deliver(world, messages, Random(1))
    assert sorted_replay(messages)
    for kill_at in range(world.faults.n_steps):
        world = World(Faults(Random(0), kill_at=kill_at))
        deliver(world, messages, Random(1))
        assert world.n_killed == 1, kill_at
        check(world.counts, messages)


def test_a_table_that_is_away_holds_up_no_session() -> None:
    """And the same events, told again when it is back, are counted."""
    features, counts = MemoryFeatures(CLOCK), MemoryCounts(unreachable=True)
    absorber = Absorber(features, features, CLOCK, MemoryLinks(), counts)
    told = [each for each in history(Random(1), 10, 1, n_items=3) if isinstance(each, Interaction)]
    messages = [replace(each, sent_at=NOW_MS - place) for place, each in enumerate(told)]
    by_key = defaultdict(list)
    for message in messages:
        by_key[message.group].append(message)
    for key, own in by_key.items():
        absorber.absorb(key, own)
        assert features.read(key, Countdown(1e9)).session["last_event_at"]
    counts.unreachable = False
    assert not counts.touches
    for key, own in by_key.items():
        absorber.absorb(key, own)
    assert counts.touches


def test_the_rule_is_the_one_that_is_told() -> None:
    assert (KEPT_DAYS, dict(WORTH)) == (28, {"view": 1, "click": 1, "cart": 3, "purchase": 5, "rating": 1})


@pytest.fixture(params=["sqlite", "dynamodb"])
def counts(request: pytest.FixtureRequest, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ItemCounts]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = botocore.session.get_session().create_client("dynamodb", region_name="eu-west-1")
        table(client)
        made = {
            "sqlite": lambda: SqliteCounts(tmp_path / "counts.db"),
            "dynamodb": lambda: DynamoCounts(client, "fusionrec"),
        }
        yield made[request.param]()


def test_a_replay_of_the_log_builds_the_same_counts(tmp_path, counts: ItemCounts) -> None:
    random = Random(9)
    messages = spread(random, history(random, 120, 4, n_items=6, linked=1.0))
    EventFiles(tmp_path / "log").append([message for message in messages if isinstance(message, Interaction)])
    features, links = MemoryFeatures(CLOCK), MemoryLinks()
    absorber = Absorber(features, features, CLOCK, links, counts)
    for _ in range(2):
        replay(Log.at(str(tmp_path / "log")), Window(), absorber, links, tmp_path / "scratch", lambda *_: None)
        check(counts, messages)
