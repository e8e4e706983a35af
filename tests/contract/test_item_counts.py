"""Counts in memory, in SQLite and in DynamoDB (moto) pass one suite; what only one of them can meet comes after."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fusionrec.adapters.item_counts import ITEM_PARTS, SHARDS, DynamoCounts
from fusionrec.adapters.memory import MemoryCounts
from fusionrec.adapters.sqlite_counts import SqliteCounts
from fusionrec.errors import StoreUnavailableError
from tests.suites.item_counts import DAY, HOUR, SOON, ItemCountsSuite, touch


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

    def test_a_file_that_was_replaced_is_opened_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "counts.db"
        counts = SqliteCounts(path)
        counts.add([touch()])
        for file in tmp_path.glob("counts.db*"):
            file.rename(tmp_path / f"old-{file.name}")
        assert counts.hours(HOUR, HOUR, SOON) == {}
        counts.add([touch()])
        assert SqliteCounts(path).hours(HOUR, HOUR, SOON) == counts.hours(HOUR, HOUR, SOON) != {}

    def test_two_processes_add_in_turns(self, tmp_path: Path) -> None:
        one, other = SqliteCounts(tmp_path / "counts.db"), SqliteCounts(tmp_path / "counts.db")
        for n in range(3):
            one.add([touch(who=f"a{n}")])
            other.add([touch(who=f"b{n}")])
        alone = SqliteCounts(tmp_path / "alone.db")
        alone.add([touch(who=f"{side}{n}") for side in "ab" for n in range(3)])
        assert one.hours(HOUR, HOUR, SOON) == other.hours(HOUR, HOUR, SOON) == alone.hours(HOUR, HOUR, SOON)

    def test_an_error_leaves_it_usable(self, tmp_path: Path) -> None:
        path = tmp_path / "counts.db"
        counts = SqliteCounts(path)
        counts.add([touch(who="a")])
        with closing(sqlite3.connect(path)) as other:
            other.execute("drop table total")
            other.commit()
        with pytest.raises(StoreUnavailableError, match="item_counts"):
            counts.add([touch(who="b")])
        counts.add([touch(who="b")])  # opened anew, which makes the table again
        assert counts.hours(HOUR, HOUR, SOON)

    def test_what_nobody_reads_is_forgotten(self, tmp_path: Path) -> None:
        counts = SqliteCounts(tmp_path / "counts.db")
        counts.add([touch(hour=HOUR - 31 * 24), touch(hour=HOUR - 29 * 24)])
        counts.add([touch()])
        assert sorted(counts.hours(0, HOUR, SOON)) == [HOUR - 29 * 24, HOUR]
        assert sorted(counts.days(0, DAY, SOON)) == [DAY - 29, DAY]


class TestDynamo(ItemCountsSuite):
    @pytest.fixture
    def counts(self, client: Any) -> DynamoCounts:
        return DynamoCounts(client, "fusionrec")

    def test_one_item_that_all_look_at_is_written_to_every_partition_evenly(self, client: Any) -> None:
        DynamoCounts(client, "fusionrec").add([touch(f"u{n}") for n in range(160)])
        rows = [row for row in client.scan(TableName="fusionrec.item_counts")["Items"] if row["part"]["S"] != "-"]
        for unit in ("hour", "day"):
            worth = [int(row["i:tea"]["N"]) for row in rows if row["entity_id"]["S"].startswith(unit)]
            assert len({row["entity_id"]["S"] for row in rows if row["entity_id"]["S"].startswith(unit)}) == SHARDS
            assert sum(worth) == 160
            assert max(worth) <= 2.5 * 160 / SHARDS
        assert all(int(row["expires_at"]["N"]) > (HOUR + 28 * 24) * 3600 for row in rows)

    def test_items_of_one_person_lie_in_small_rows(self, client: Any) -> None:
        DynamoCounts(client, "fusionrec").add([touch("u", f"i{n}") for n in range(128)])
        rows = [row for row in client.scan(TableName="fusionrec.item_counts")["Items"] if row["part"]["S"] != "-"]
        sizes = [sum(name.startswith("i:") for name in row) for row in rows if row["entity_id"]["S"].startswith("hour")]
        assert sum(sizes) == 128
        assert 0.75 * ITEM_PARTS <= len(sizes) <= ITEM_PARTS
        assert max(sizes) <= 4 * 128 / ITEM_PARTS

    def test_a_missing_table_is_a_store_away(self, client: Any) -> None:
        counts = DynamoCounts(client, "other")
        with pytest.raises(StoreUnavailableError):
            counts.add([touch()])
        with pytest.raises(StoreUnavailableError):
            counts.days(DAY, DAY, SOON)
