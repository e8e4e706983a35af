"""The session state is a function of the set of events."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrec.feature_spec import SESSION_LENGTH, USER_SESSION
from fusionrec.ports import Interaction, Row, default_row
from fusionrec.session_state import absorb_events

EMPTY = default_row(USER_SESSION)

# Few ids, items and times, so that repetitions and ties are common; more events than the row keeps.
events = st.lists(
    st.builds(
        lambda number, item, event_type, at, value: Interaction(
            event_id=f"e{number}", user_id="u", session_id="s", item_id=f"i{item}", event_type=event_type, sent_at=at,
            event_value=value,
        ),
        number=st.integers(0, 400),
        item=st.integers(0, 9),
        event_type=st.sampled_from(["view", "cart", "purchase", "removal"]),
        at=st.integers(0, 50),
        value=st.sampled_from([1.0, 2.5, 0.1]),
    ),
    max_size=200,
    unique_by=lambda event: event.event_id,
)  # fmt: skip


def replay(history: list[Interaction]) -> Row:
    """The plain meaning: one by one, in order of time."""
    row = EMPTY
    for event in sorted(history, key=lambda event: (event.sent_at, event.event_id)):
        row = absorb_events(row, [event])
    return row


@settings(max_examples=150, deadline=None)
@given(events, st.randoms(use_true_random=False), st.lists(st.integers(1, 40), min_size=1))
def test_shuffled_repeated_and_batched_events_end_as_a_sorted_replay(history, random, sizes) -> None:
    delivered = history + [random.choice(history) for _ in range(len(history) // 2)]
    random.shuffle(delivered)
    row, place, turn = EMPTY, 0, 0
    while place < len(delivered):
        size = sizes[turn % len(sizes)]
        row = absorb_events(row, delivered[place : place + size])
        place, turn = place + size, turn + 1
    assert row == replay(history)


@settings(max_examples=50, deadline=None)
@given(events)
def test_the_row_holds_the_newest_events_and_its_lists_fit(history) -> None:
    row = absorb_events(EMPTY, history)
    newest = sorted(history, key=lambda event: (event.sent_at, event.event_id))[-SESSION_LENGTH:]
    assert {event.event_id for event in newest} <= set(row["event_ids"])
    lengths = {len(row[name]) for name in ("event_ids", "item_ids", "event_types", "sent_at", "event_values")}
    assert len(lengths) == 1
    if history:
        assert row["last_event_id"] == newest[-1].event_id
        assert row["last_event_at"] == newest[-1].sent_at


def event(number: int, **fields) -> Interaction:
    plain = Interaction(f"e{number}", "u", "s", f"i{number}", "view", number)
    return replace(plain, **fields)


def test_a_removal_outlives_much_browsing() -> None:
    row = absorb_events(EMPTY, [event(0, item_id="bad", event_type="removal")])
    row = absorb_events(row, [event(number) for number in range(1, 3 * SESSION_LENGTH)])
    assert row["removed_item_ids"] == ["bad"]


def test_a_later_act_revokes_a_removal() -> None:
    removal, purchase = event(1, item_id="a", event_type="removal"), event(2, item_id="a", event_type="purchase")
    assert absorb_events(EMPTY, [purchase, removal])["removed_item_ids"] == []
    assert absorb_events(EMPTY, [replace(purchase, sent_at=0), removal])["removed_item_ids"] == ["a"]


def test_two_bodies_under_one_id_end_alike_in_either_order() -> None:
    first, second = event(1, item_id="a"), event(1, item_id="b")
    assert absorb_events(EMPTY, [first, second]) == absorb_events(EMPTY, [second, first])
