"""How counts call DynamoDB (moto): what fails is tried again or said, other writers are met, and reads have a bound."""

from __future__ import annotations

import threading
import time
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fusionrec.adapters import item_counts
from fusionrec.adapters.clock import Countdown
from fusionrec.adapters.item_counts import ATTEMPTS, SHARDS, DynamoCounts
from fusionrec.errors import StoreUnavailableError
from tests.suites.item_counts import DAY, HOUR, SOON, touch


class Failing:
    """A client whose next calls of one kind fail, before or after they did what was asked."""

    def __init__(self, inner: Any, kind: str, code: str, *, after: bool = False, reasons: tuple[str, ...] = ()):
        """reasons: of a transaction that was cancelled, one an action, as DynamoDB gives them"""
        self.inner, self.kind, self.after, self.left, self.n_calls = inner, kind, after, 1, 0
        self.error: dict[str, Any] = {"Error": {"Code": code}}
        if reasons:
            self.error["CancellationReasons"] = [{"Code": reason} for reason in reasons]

    def __getattr__(self, name: str) -> Any:
        def call(**kwargs: Any) -> Any:
            self.n_calls += name == self.kind
            failing = name == self.kind and self.left > 0
            if failing:
                self.left -= 1
            answer = None if failing and not self.after else getattr(self.inner, name)(**kwargs)
            if failing:
                raise ClientError(self.error, name)
            return answer

        return call


class TestDynamo:
    @pytest.fixture(autouse=True)
    def pauses(self, monkeypatch: Any) -> list[float]:
        """How long was waited, in s; nobody does."""
        found: list[float] = []
        monkeypatch.setattr(item_counts.time, "sleep", found.append)
        return found

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("kind", ["batch_get_item", "transact_write_items"])
    @pytest.mark.parametrize(
        ("code", "reasons"),
        [
            ("ProvisionedThroughputExceededException", ()),
            ("ThrottlingException", ()),
            ("TransactionInProgressException", ()),
            ("TransactionCanceledException", ("None", "TransactionConflict", "None")),
            ("TransactionCanceledException", ("ThrottlingError",)),
            ("TransactionCanceledException", ("ProvisionedThroughputExceeded", "ConditionalCheckFailed")),
            ("TransactionCanceledException", ()),
        ],
    )
    def test_what_passes_is_tried_again_and_counts_nothing_twice(
        self, client: Any, kind: str, code: str, reasons: tuple[str, ...], after: bool
    ) -> None:
        failing = Failing(client, kind, code, after=after, reasons=reasons)
        counts = DynamoCounts(failing, "fusionrec")
        for _ in range(2):
            counts.add([touch(), touch("u2")])
        assert failing.n_calls >= 2 - (after and kind == "transact_write_items")
        assert counts.hours(HOUR, HOUR, SOON) == {HOUR: {"tea": 2}}

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize(
        ("said", "code", "reasons"),
        [
            ("AccessDenied", "AccessDeniedException", ()),
            ("NotFound", "ResourceNotFoundException", ()),
            ("Validation", "TransactionCanceledException", ("TransactionConflict", "ValidationError")),
            ("Size", "TransactionCanceledException", ("ItemCollectionSizeLimitExceeded", "ConditionalCheckFailed")),
        ],
    )
    def test_what_does_not_pass_is_said_at_once(
        self, client: Any, pauses: list[float], said: str, code: str, reasons: tuple[str, ...], after: bool
    ) -> None:
        counts = DynamoCounts(Failing(client, "transact_write_items", code, after=after, reasons=reasons), "fusionrec")
        with pytest.raises(StoreUnavailableError, match=said):
            counts.add([touch(), touch("u2")])
        assert pauses == []
        counts.add([touch(), touch("u2")])  # told again later
        assert counts.hours(HOUR, HOUR, SOON) == {HOUR: {"tea": 2}}

    def test_pauses_are_drawn_from_the_whole_of_a_growing_span_and_end(
        self, client: Any, pauses: list[float], monkeypatch: Any
    ) -> None:
        for drawn in (1.0, 0.5):
            monkeypatch.setattr(item_counts.random, "random", lambda drawn=drawn: drawn)
            failing = Failing(
                client, "transact_write_items", "TransactionCanceledException", reasons=("TransactionConflict",)
            )
            failing.left = 99
            with pytest.raises(StoreUnavailableError, match=f"TransactionConflict, {ATTEMPTS} times"):
                DynamoCounts(failing, "fusionrec").add([touch()])
            assert failing.n_calls == ATTEMPTS
        assert pauses[:5] == pytest.approx([0.025, 0.05, 0.1, 0.2, 0.4])
        assert pauses[5:] == pytest.approx([pause / 2 for pause in pauses[:5]])

    def test_another_writer_in_between_is_met_by_looking_again(self, client: Any, monkeypatch: Any) -> None:
        counts, other = DynamoCounts(client, "fusionrec"), DynamoCounts(client, "fusionrec")
        looked = counts._unknown

        def overtaken(touches: Any) -> Any:
            found = looked(touches)
            other.add([touch()])
            return found

        monkeypatch.setattr(counts, "_unknown", overtaken)
        counts.add([touch(), touch("u2")])
        assert counts.hours(HOUR, HOUR, SOON) == {HOUR: {"tea": 2}}

    def test_notes_that_were_not_read_are_asked_for_again(self, client: Any) -> None:
        class Sparing:
            left = 2

            def __getattr__(self, name: str) -> Any:
                return getattr(client, name)

            def batch_get_item(self, **kwargs: Any) -> Any:
                self.left -= 1
                if self.left == 1:
                    return {"Responses": {}, "UnprocessedKeys": kwargs["RequestItems"]}
                return client.batch_get_item(**kwargs)

        DynamoCounts(client, "fusionrec").add([touch()])
        counts = DynamoCounts(Sparing(), "fusionrec")
        counts.add([touch(), touch("u2")])
        assert counts.hours(HOUR, HOUR, SOON) == {HOUR: {"tea": 2}}

    @pytest.mark.parametrize("seed", range(3))
    def test_writers_among_faults_count_each_touch_once(self, client: Any, seed: int) -> None:
        """Three writers with the same touches in portions and orders of their own; calls fail before or after they
        worked, for reasons that pass and that do not; what a writer was refused it tells again."""
        random = Random(seed)
        touches = [touch(f"u{random.randrange(9)}", f"i{random.randrange(5)}", hour=HOUR - n % 50) for n in range(60)]

        class Faulty:
            def __getattr__(self, name: str) -> Any:
                def call(**kwargs: Any) -> Any:
                    drawn = random.random()
                    if drawn > 0.3 or name == "query":
                        return getattr(client, name)(**kwargs)
                    if drawn < 0.1:
                        getattr(client, name)(**kwargs)
                    reason = random.choice(("TransactionConflict", "ThrottlingError", "ValidationError"))
                    error = {"Error": {"Code": "TransactionCanceledException"}}
                    raise ClientError({**error, "CancellationReasons": [{"Code": reason}]}, name)  # type: ignore[typeddict-item]

                return call

        writers = [(DynamoCounts(Faulty(), "fusionrec"), random.sample(touches, k=60)) for _ in range(3)]
        while writers:
            counts, left = random.choice(writers)
            portion = left[: random.randint(1, 30)]
            try:
                counts.add(portion)
            except StoreUnavailableError:
                continue
            del left[: len(portion)]
            writers = [(each, more) for each, more in writers if more]
        expected: dict[int, dict[str, int]] = {}
        for each in set(touches):
            sums = expected.setdefault(each.hour, {})
            sums[each.item_id] = sums.get(each.item_id, 0) + 1
        assert DynamoCounts(client, "fusionrec").hours(HOUR - 60, HOUR, SOON) == expected
        days = DynamoCounts(client, "fusionrec").days(DAY - 3, DAY, SOON)
        assert sum(sum(sums.values()) for sums in days.values()) == len(set(touches))

    def test_a_read_asks_a_bounded_number_of_partitions(self, client: Any) -> None:
        for asked, first, last in (("hours", HOUR - 47, HOUR), ("days", DAY - 27, DAY)):
            counting = Failing(client, "query", "never")
            counting.left = 0
            getattr(DynamoCounts(counting, "fusionrec"), asked)(first, last, SOON)
            assert counting.n_calls == SHARDS

    def test_a_slow_table_is_given_up_in_time_and_nothing_more_is_asked(self, client: Any) -> None:
        begun: list[float] = []

        class Slow:
            def query(self, **kwargs: Any) -> Any:
                begun.append(time.monotonic())
                threading.Event().wait(0.3)
                return {"Items": [], "LastEvaluatedKey": {"more": "to come"}}

        counts, started = DynamoCounts(Slow(), "fusionrec"), time.monotonic()  # type: ignore[arg-type]
        for _ in range(4):  # the last two find every thread taken
            with pytest.raises(StoreUnavailableError, match="no time"):
                counts.hours(HOUR - 47, HOUR, Countdown(60))
        assert time.monotonic() - started < 4 * 0.3
        threading.Event().wait(0.6)
        assert len(begun) <= item_counts.READERS  # neither further pages nor what waited for a thread
