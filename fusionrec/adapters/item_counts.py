"""Counts of touches per item and hour, and per item and day: a DynamoDB table in the cloud, a SQLite file locally.

Both note each touch and add to the two sums in one transaction, under the condition that the touch was not noted yet:
a crash, a repetition or a second writer cannot count it twice, and nothing is read, changed and written back.

In DynamoDB a sum is an attribute of a small row: 64 rows by item times 4 by person an hour, and as many a day. Two
writers meet only where both the item and the person fall together, and the rows of a day lie side by side, so that a
reader asks for one day of hours, or one week of days, in one query.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import StoreUnavailableError
from fusionrec.ports import Deadline, Touch
from fusionrec.trending import DAY_HOURS, KEPT_DAYS, WORTH, Counts

STORE: Final = "item_counts"
MARGIN_DAYS: Final = 2  # beyond KEPT_DAYS, before a note is removed
ITEM_PARTS: Final = 64
PERSON_PARTS: Final = 4
PORTION: Final = 25  # touches of one transaction; each takes up to three of its 100 places
ATTEMPTS: Final = 4
PAUSE_S: Final = 0.02  # after two writers met; doubled each time
WEEK_DAYS: Final = 7


class DynamoClient(Protocol):
    def batch_get_item(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def transact_write_items(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def query(self, **kwargs: Any) -> Mapping[str, Any]: ...


class DynamoCounts:
    """Table `<prefix>.item_counts`, keys `entity_id` and `part`; DynamoDB removes rows when `expires_at` is past."""

    def __init__(self, client: DynamoClient, table_prefix: str) -> None:
        self._client, self._table = client, f"{table_prefix}.item_counts"
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="counts")

    def add(self, touches: Sequence[Touch]) -> None:
        for first in range(0, len(touches), PORTION):
            pending = list(touches[first : first + PORTION])
            for attempt in range(ATTEMPTS):
                pending = self._unknown(pending)
                if not pending or self._count(pending):
                    break
                time.sleep(PAUSE_S * 2**attempt)
            else:
                raise StoreUnavailableError(STORE, "other writers were always first")

    def _unknown(self, touches: Sequence[Touch]) -> list[Touch]:
        keys = {_note(touch): touch for touch in touches}
        known: set[str] = set()
        wanted: Mapping[str, Any] = {self._table: {"Keys": [_key(note, "-") for note in keys], "ConsistentRead": True}}
        for _ in range(ATTEMPTS):
            try:
                answer = self._client.batch_get_item(RequestItems=wanted)
            except (BotoCoreError, ClientError) as error:
                raise StoreUnavailableError(STORE, _named(error)) from error
            known |= {item["entity_id"]["S"] for item in answer["Responses"].get(self._table, ())}
            wanted = answer.get("UnprocessedKeys") or {}
            if not wanted:
                return [touch for note, touch in keys.items() if note not in known]
        raise StoreUnavailableError(STORE, "notes were not read")

    def _count(self, touches: Sequence[Touch]) -> bool:
        """False, and nothing is counted, when another writer came in between."""
        sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        ends: dict[tuple[str, str], int] = {}
        actions: list[dict[str, Any]] = []
        for touch in touches:
            note = {**_key(_note(touch), "-"), "expires_at": {"N": str(_expires(touch.hour))}}
            condition = "attribute_not_exists(entity_id)"
            actions.append({"Put": {"TableName": self._table, "Item": note, "ConditionExpression": condition}})
            for row in _rows(touch):
                sums[row][touch.item_id] += WORTH[touch.event_type]
                ends[row] = max(ends.get(row, 0), _expires(touch.hour // DAY_HOURS * DAY_HOURS + DAY_HOURS))
        actions += [self._addition(row, worth, ends[row]) for row, worth in sums.items()]
        try:
            self._client.transact_write_items(TransactItems=actions)
        except ClientError as error:
            if error.response["Error"]["Code"] == "TransactionCanceledException":
                return False
            raise StoreUnavailableError(STORE, _named(error)) from error
        except BotoCoreError as error:
            raise StoreUnavailableError(STORE, _named(error)) from error
        return True

    def _addition(self, row: tuple[str, str], worth: Mapping[str, int], expires_at: int) -> dict[str, Any]:
        items = list(worth)
        names = {f"#{place}": f"i:{item}" for place, item in enumerate(items)}
        values = {f":{place}": {"N": str(worth[item])} for place, item in enumerate(items)}
        added = ", ".join(f"#{place} :{place}" for place in range(len(items)))
        return {
            "Update": {
                "TableName": self._table,
                "Key": _key(*row),
                "UpdateExpression": f"ADD {added} SET expires_at = :at",
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": {**values, ":at": {"N": str(expires_at)}},
            }
        }

    def hours(self, first: int, last: int, deadline: Deadline) -> Counts:
        return self._read("hour", DAY_HOURS, first, last, deadline)

    def days(self, first: int, last: int, deadline: Deadline) -> Counts:
        return self._read("day", WEEK_DAYS, first, last, deadline)

    def _read(self, unit: str, span: int, first: int, last: int, deadline: Deadline) -> Counts:
        if deadline.remaining_ms() <= 0:
            raise StoreUnavailableError(STORE, "no time is left")
        groups = range(first // span, last // span + 1)
        calls = [self._threads.submit(self._group, f"{unit}:{group}", first, last) for group in groups]
        found: dict[int, dict[str, int]] = {}
        try:
            for call in calls:
                for period, item, worth in call.result(timeout=max(deadline.remaining_ms(), 0.0) / 1000):
                    sums = found.setdefault(period, {})
                    sums[item] = sums.get(item, 0) + worth
        except (BotoCoreError, ClientError, FutureTimeoutError) as error:
            raise StoreUnavailableError(STORE, _named(error)) from error
        return found

    def _group(self, group: str, first: int, last: int) -> list[tuple[int, str, int]]:
        """(period, item, worth) of the rows of one group, page by page."""
        values = {":group": {"S": group}, ":first": {"S": _period(first)}, ":last": {"S": _period(last) + "~"}}
        asked: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "entity_id = :group AND part BETWEEN :first AND :last",
            "ExpressionAttributeValues": values,
        }
        found: list[tuple[int, str, int]] = []
        while True:
            answer = self._client.query(**asked)
            for row in answer["Items"]:
                period = int(row["part"]["S"].split(":")[0])
                found += [(period, name[2:], int(v["N"])) for name, v in row.items() if name.startswith("i:")]
            if not answer.get("LastEvaluatedKey"):
                return found
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _key(entity_id: str, part: str) -> dict[str, Any]:
    return {"entity_id": {"S": entity_id}, "part": {"S": part}}


def _named(error: Exception) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _note(touch: Touch) -> str:
    text = f"{len(touch.who)}:{touch.who}{len(touch.item_id)}:{touch.item_id}{touch.event_type}:{touch.hour}"
    return "note:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _rows(touch: Touch) -> Iterator[tuple[str, str]]:
    """Keys of the hour's and of the day's row."""
    part = f"{_spread(touch.item_id, ITEM_PARTS):02d}-{_spread(touch.who, PERSON_PARTS)}"
    day = touch.hour // DAY_HOURS
    yield f"hour:{day}", f"{_period(touch.hour)}:{part}"
    yield f"day:{day // WEEK_DAYS}", f"{_period(day)}:{part}"


def _period(number: int) -> str:
    return f"{number:08d}"


def _spread(text: str, n: int) -> int:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % n


def _expires(hour: int) -> int:
    """Seconds since 1970 UTC, when nobody reads the hour any more and no repetition of it is counted."""
    return (hour + (KEPT_DAYS + MARGIN_DAYS) * DAY_HOURS) * 3600


class SqliteCounts:
    """One small file; opened for each call, so that several processes may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, touches: Sequence[Touch]) -> None:
        with _guarded(), closing(self._open()) as connection, connection:
            connection.execute("begin immediate")
            for touch in touches:
                noted = (touch.who, touch.item_id, touch.event_type, touch.hour)
                if connection.execute("insert or ignore into touch values (?, ?, ?, ?)", noted).rowcount:
                    for unit, period in (("hour", touch.hour), ("day", touch.hour // DAY_HOURS)):
                        connection.execute(
                            "insert into total values (?, ?, ?, ?) "
                            "on conflict (unit, period, item_id) do update set worth = worth + excluded.worth",
                            (unit, period, touch.item_id, WORTH[touch.event_type]),
                        )
            self._forget(connection, max(touch.hour for touch in touches))

    @staticmethod
    def _forget(connection: sqlite3.Connection, newest: int) -> None:
        """What nobody reads any more; a note goes later, so that no repetition is counted meanwhile."""
        oldest = newest - (KEPT_DAYS + MARGIN_DAYS) * DAY_HOURS
        connection.execute("delete from touch where hour < ?", (oldest,))
        connection.execute("delete from total where unit = 'hour' and period < ?", (oldest,))
        connection.execute("delete from total where unit = 'day' and period < ?", (oldest // DAY_HOURS,))

    def hours(self, first: int, last: int, deadline: Deadline) -> Counts:
        return self._read("hour", first, last, deadline)

    def days(self, first: int, last: int, deadline: Deadline) -> Counts:
        return self._read("day", first, last, deadline)

    def _read(self, unit: str, first: int, last: int, deadline: Deadline) -> Counts:
        if deadline.remaining_ms() <= 0:
            raise StoreUnavailableError(STORE, "no time is left")
        found: dict[int, dict[str, int]] = {}
        asked = "select period, item_id, worth from total where unit = ? and period between ? and ?"
        with _guarded(), closing(self._open()) as connection:
            for period, item, worth in connection.execute(asked, (unit, first, last)):
                found.setdefault(period, {})[item] = worth
        return found

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
        connection.execute(
            "create table if not exists touch (who text, item_id text, event_type text, hour integer, "
            "primary key (hour, who, item_id, event_type)) without rowid"
        )
        connection.execute(
            "create table if not exists total (unit text, period integer, item_id text, worth integer, "
            "primary key (unit, period, item_id)) without rowid"
        )
        return connection


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailableError(STORE, f"{type(error).__name__}: {error}") from error
