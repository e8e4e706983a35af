"""Counts in memory, in SQLite and in DynamoDB (moto) pass one suite; what only DynamoDB can meet comes after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto import mock_aws

from fusionrec.adapters import item_counts
from fusionrec.adapters.item_counts import DynamoCounts, SqliteCounts
from fusionrec.adapters.memory import MemoryCounts
from fusionrec.errors import StoreUnavailableError
from tests.suites.item_counts import DAY, HOUR, SOON, ItemCountsSuite, touch


def table(client: Any) -> None:
    keys = (("entity_id", "HASH"), ("part", "RANGE"))
    client.create_table(
        TableName="fusionrec.item_counts",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        dynamodb = botocore.session.get_session().create_client("dynamodb")
        table(dynamodb)
        yield dynamodb


class TestMemory(ItemCountsSuite):
    @pytest.fixture
    def counts(self) -> MemoryCounts:
        return MemoryCounts()


class TestSqlite(ItemCountsSuite):
    @pytest.fixture
    def counts(self, tmp_path: Path) -> SqliteCounts:
        return SqliteCounts(tmp_path / "log" / "counts.db")

    def test_a_file_that_is_no_database_is_a_store_away(self, tmp_path: Path) -> None:
        (tmp_path / "counts.db").write_text("no database, but long enough to be taken for one" * 40)
        with pytest.raises(StoreUnavailableError, match="item_counts"):
            SqliteCounts(tmp_path / "counts.db").add([touch()])

    def test_what_nobody_reads_is_forgotten(self, tmp_path: Path) -> None:
        counts = SqliteCounts(tmp_path / "counts.db")
        counts.add([touch(hour=HOUR - 31 * 24), touch(hour=HOUR - 29 * 24)])
        counts.add([touch()])
        assert sorted(counts.hours(0, HOUR, SOON)) == [HOUR - 29 * 24, HOUR]
        assert sorted(counts.days(0, DAY, SOON)) == [DAY - 29, DAY]


class Failing:
    """A client whose next calls of one kind fail, before or after they did what was asked."""

    def __init__(self, inner: Any, kind: str, *, after: bool, code: str = "ProvisionedThroughputExceededException"):
        self.inner, self.kind, self.after, self.code, self.left = inner, kind, after, code, 1

    def __getattr__(self, name: str) -> Any:
        def call(**kwargs: Any) -> Any:
            failing = name == self.kind and self.left > 0
            if failing:
                self.left -= 1
            answer = None if failing and not self.after else getattr(self.inner, name)(**kwargs)
            if failing:
                raise self.inner.exceptions.ClientError({"Error": {"Code": self.code}}, name)
            return answer

        return call


class TestDynamo(ItemCountsSuite):
    @pytest.fixture
    def counts(self, client: Any) -> DynamoCounts:
        return DynamoCounts(client, "fusionrec")

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("kind", ["batch_get_item", "transact_write_items"])
    def test_a_lost_answer_counts_nothing_twice(self, client: Any, kind: str, after: bool) -> None:
        counts = DynamoCounts(Failing(client, kind, after=after), "fusionrec")
        with pytest.raises(StoreUnavailableError, match="ProvisionedThroughput"):
            counts.add([touch(), touch("u2")])
        counts.add([touch(), touch("u2")])
        assert counts.hours(HOUR, HOUR, SOON) == {HOUR: {"tea": 2}}

    def test_another_writer_in_between_is_met_by_looking_again(self, client: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr(item_counts, "PAUSE_S", 0.0)
        counts, other = DynamoCounts(client, "fusionrec"), DynamoCounts(client, "fusionrec")
        looked = counts._unknown

        def overtaken(touches: Any) -> Any:
            found = looked(touches)
            other.add([touch()])
            return found

        monkeypatch.setattr(counts, "_unknown", overtaken)
        counts.add([touch(), touch("u2")])
        assert counts.hours(HOUR, HOUR, SOON) == {HOUR: {"tea": 2}}

    def test_who_is_always_second_gives_up(self, client: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr(item_counts, "PAUSE_S", 0.0)
        failing = Failing(client, "transact_write_items", after=False, code="TransactionCanceledException")
        failing.left = 99
        with pytest.raises(StoreUnavailableError, match="always first"):
            DynamoCounts(failing, "fusionrec").add([touch()])

    def test_no_row_is_written_by_all(self, client: Any) -> None:
        DynamoCounts(client, "fusionrec").add([touch(f"u{n}", f"i{n % 40}") for n in range(200)])
        rows = [row for row in client.scan(TableName="fusionrec.item_counts")["Items"] if row["part"]["S"] != "-"]
        hours = [row for row in rows if row["entity_id"]["S"].startswith("hour")]
        worth = [sum(int(v["N"]) for name, v in row.items() if name.startswith("i:")) for row in hours]
        assert sum(worth) == 200
        assert max(worth) < 20
        assert all(int(row["expires_at"]["N"]) > (HOUR + 28 * 24) * 3600 for row in rows)

    def test_a_missing_table_is_a_store_away(self, client: Any) -> None:
        counts = DynamoCounts(client, "other")
        with pytest.raises(StoreUnavailableError):
            counts.add([touch()])
        with pytest.raises(StoreUnavailableError):
            counts.days(DAY, DAY, SOON)
