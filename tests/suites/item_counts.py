"""What every store of counts must do: each touch once, whoever adds it, in whichever order and portions."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from fusionrec.adapters.clock import Countdown
from fusionrec.errors import StoreUnavailableError
from fusionrec.ports import ItemCounts, Touch

HOUR = 497_000  # noon-ish of a day: 497000 = 24 * 20708 + 8
DAY = HOUR // 24
SOON = Countdown(1e9)


def touch(who: str = "u1", item: str = "tea", kind: str = "view", hour: int = HOUR) -> Touch:
    return Touch(who, item, kind, hour)


def table(client: Any) -> None:
    """Makes the table of counts in a DynamoDB."""
    keys = (("entity_id", "HASH"), ("part", "RANGE"))
    client.create_table(
        TableName="fusionrec.item_counts",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )


class ItemCountsSuite:
    """Give it a fixture `counts`: an empty store."""

    def test_nothing_was_counted(self, counts: ItemCounts) -> None:
        assert not counts.hours(HOUR - 47, HOUR, SOON)
        assert not counts.days(DAY - 27, DAY, SOON)

    def test_a_touch_counts_its_worth_once(self, counts: ItemCounts) -> None:
        for _ in range(3):
            counts.add([touch(), touch(kind="purchase")])
        assert counts.hours(HOUR, HOUR, SOON) == {HOUR: {"tea": 6}}
        assert counts.days(DAY, DAY, SOON) == {DAY: {"tea": 6}}

    def test_persons_items_and_hours_count_apart(self, counts: ItemCounts) -> None:
        others = [touch("u2"), touch(item="tea\x00"), touch(item="茶/ #1"), touch(hour=HOUR + 1), touch(hour=HOUR - 24)]
        counts.add([touch(), *others])
        assert counts.hours(HOUR - 30, HOUR + 5, SOON) == {
            HOUR - 24: {"tea": 1}, HOUR: {"tea": 2, "tea\x00": 1, "茶/ #1": 1}, HOUR + 1: {"tea": 1},
        }  # fmt: skip
        assert counts.days(DAY - 3, DAY + 3, SOON) == {DAY - 1: {"tea": 1}, DAY: {"tea": 3, "tea\x00": 1, "茶/ #1": 1}}

    def test_only_what_was_asked_for(self, counts: ItemCounts) -> None:
        counts.add([touch(hour=HOUR + n) for n in range(-3, 4)])
        assert sorted(counts.hours(HOUR - 1, HOUR + 1, SOON)) == [HOUR - 1, HOUR, HOUR + 1]
        counts.add([touch(hour=HOUR + 24 * n) for n in range(-9, 10)])
        assert sorted(counts.days(DAY - 8, DAY + 1, SOON)) == list(range(DAY - 8, DAY + 2))

    def test_a_known_touch_does_not_keep_a_new_one_out(self, counts: ItemCounts) -> None:
        counts.add([touch()])
        counts.add([touch(), touch("u2")])
        assert counts.hours(HOUR, HOUR, SOON) == {HOUR: {"tea": 2}}

    def test_any_order_and_portions_end_in_the_same_sums(self, counts: ItemCounts) -> None:
        random = Random(5)
        touches = [
            touch(f"u{n % 7}", f"i{random.randrange(20)}", random.choice(("view", "cart")), HOUR - random.randrange(60))
            for n in range(150)
        ]
        expected: dict[int, dict[str, int]] = {}
        for each in set(touches):
            sums = expected.setdefault(each.hour, {})
            sums[each.item_id] = sums.get(each.item_id, 0) + {"view": 1, "cart": 3}[each.event_type]
        again = [*touches, *random.choices(touches, k=80)]
        random.shuffle(again)
        while again:
            portion = random.randint(1, 40)
            counts.add(again[:portion])
            again = again[portion:]
        assert counts.hours(HOUR - 60, HOUR, SOON) == expected
        assert sum(sum(sums.values()) for sums in counts.days(DAY - 3, DAY, SOON).values()) == sum(
            sum(sums.values()) for sums in expected.values()
        )

    def test_no_time_is_no_answer(self, counts: ItemCounts) -> None:
        with pytest.raises(StoreUnavailableError):
            counts.hours(HOUR, HOUR, Countdown(0))
