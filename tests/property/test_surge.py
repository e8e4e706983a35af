"""Votes are a function of the set of texts: order, repetition, batches and one user's flood change nothing."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrec import surge
from fusionrec.feature_spec import DAY_MS
from fusionrec.surge import MAX_VOTES, Vote, fold, fresh, from_bytes, no_votes, surges, to_bytes
from fusionrec.text.scoring import TOPICS

START = 1_760_000_000_000


def texts(random: Random, n: int, n_voters: int, days: float = 120, share: float = 0.3) -> list[Vote]:
    return [
        Vote(
            START + int(random.random() * days * DAY_MS),
            f"e{random.randrange(n)}",  # some ids come again with another body
            f"u{random.randrange(n_voters)}",
            random.random() < share,
            random.choice(TOPICS),
        )
        for _ in range(n)
    ]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 150), st.integers(1, 60))
def test_order_repetition_and_batches_do_not_matter(seed: int, n: int, n_voters: int) -> None:
    random = Random(seed)
    votes = texts(random, n, n_voters)
    at_once = fold(no_votes(), votes)
    shuffled = [*votes, *random.choices(votes, k=n // 2)]
    random.shuffle(shuffled)
    held = no_votes()
    while shuffled:
        size = random.randrange(1, 20)
        held = from_bytes(to_bytes(fold(held, shuffled[:size])))
        shuffled = shuffled[size:]
    assert to_bytes(held) == to_bytes(at_once)
    assert surges(held) == surges(at_once)


def test_the_row_is_bounded_and_still_a_function_of_the_set(monkeypatch) -> None:
    monkeypatch.setattr(surge, "MAX_VOTES", 40)
    for seed in range(60):
        random = Random(seed)
        votes = texts(random, 200, 90, days=20)
        at_once = fold(no_votes(), votes)
        random.shuffle(votes)
        held = no_votes()
        for start in range(0, len(votes), 7):
            held = fold(held, votes[start : start + 7])
        assert len(at_once) == 40
        assert to_bytes(held) == to_bytes(at_once)
    assert MAX_VOTES * surge.VOTE.itemsize < 350_000  # DynamoDB's limit of an item is 400 kB


def quiet_history(n: int = 60) -> list[Vote]:
    return [Vote(START + place * DAY_MS, f"h{place}", f"h{place}", place % 10 == 0, "other") for place in range(n)]


def burst(n: int, voter: str = "", after_days: float = 60.0) -> list[Vote]:
    return [
        Vote(START + int(after_days * DAY_MS) + place * 60_000, f"b{place}", voter or f"b{place}", True, "delivery")
        for place in range(n)
    ]


def test_many_users_ill_will_is_a_surge_and_names_its_topic() -> None:
    (found,) = surges(fold(no_votes(), [*quiet_history(), *burst(12)]))
    assert found.topic == "delivery"
    assert found.n_negative >= 5
    assert found.share > found.usual_share + 0.15
    assert found.at < START + 60 * DAY_MS + 12 * 60_000


def test_one_users_flood_is_one_vote() -> None:
    held = fold(no_votes(), [*quiet_history(), *burst(500, voter="troll")])
    assert len(held) == 61
    assert surges(held) == []


def test_a_usual_share_is_no_surge() -> None:
    for seed in range(20):
        random = Random(seed)
        votes = [
            Vote(START + place * DAY_MS // 4, f"e{place}", f"u{place}", random.random() < 0.2, "other")
            for place in range(300)
        ]
        assert surges(fold(no_votes(), votes)) == []


def test_without_a_history_there_is_nothing_to_compare_with() -> None:
    assert surges(fold(no_votes(), burst(40))) == []


def test_a_surge_is_told_once_within_the_cool_down_and_again_after_it() -> None:
    calm = [Vote(START + (63 + n) * DAY_MS, f"c{n}", f"c{n}", False, "other") for n in range(20)]
    again = [Vote(v.sent_at + 25 * DAY_MS, f"x{v.event_id}", f"x{v.voter}", True, "price") for v in burst(15)]
    found = surges(fold(no_votes(), [*quiet_history(), *burst(40), *calm, *again]))
    assert [one.topic for one in found] == ["delivery", "price"]


def test_a_late_text_does_not_tell_the_same_surge_again() -> None:
    before = fold(no_votes(), [*quiet_history(), *burst(12)])
    first = Vote(START + 60 * DAY_MS - 60_000, "late", "late", True, "delivery")
    after = fold(before, [first])
    assert surges(after)[0].at < surges(before)[0].at
    assert fresh(before, after) == []
    assert len(fresh(no_votes(), after)) == 1
