"""Counts of touches per item and hour, and per item and day, in DynamoDB: what is trending, in the cloud.

It notes each touch and adds to the two sums in one transaction, under the condition that the touch was not noted yet:
a crash, a repetition or a second writer cannot count it twice, and nothing is read, changed and written back.

A sum is an attribute of a small row: for each hour, and each day, SHARDS rows by person times ITEM_PARTS by item. The
shard is the partition key, so the writes of the running hour spread over SHARDS partitions evenly, however few items
everybody looks at, and two writers meet only where both the person and the item fall together. Hours, and days, lie
side by side in a shard: a reader asks all shards at once, one query each, and adds up what they say of an item.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import StoreUnavailableError
from fusionrec.ports import Deadline, Touch
from fusionrec.trending import DAY_HOURS, KEPT_DAYS, WORTH, Counts

STORE: Final = "item_counts"
MARGIN_DAYS: Final = 2  # beyond KEPT_DAYS, before a note is removed
SHARDS: Final = 8  # partition keys that the writes of one hour, and of one day, spread over; each is a query to read
ITEM_PARTS: Final = 64  # rows of a period in a shard: a small row costs little to add to
PORTION: Final = 25  # touches of one transaction; each takes up to three of its 100 places
ATTEMPTS: Final = 6
PAUSE_S: Final = 0.025  # before the second attempt at most; doubled each time, and drawn from the whole of it
READERS: Final = 2 * SHARDS  # queries at once, and a few that a former request gave up
# What another moment may mend, as the code of a call, and as the reason of a transaction that was cancelled.
PASSING: Final = frozenset({
    "TransactionConflict", "TransactionConflictException", "TransactionInProgressException", "ThrottlingError",
    "ThrottlingException", "Throttling", "ProvisionedThroughputExceeded", "ProvisionedThroughputExceededException",
    "RequestLimitExceeded", "InternalServerError",
})  # fmt: skip
KNOWN: Final = "ConditionalCheckFailed"  # somebody noted the touch in between


class DynamoClient(Protocol):
    def batch_get_item(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def transact_write_items(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def query(self, **kwargs: Any) -> Mapping[str, Any]: ...


class DynamoCounts:
    """Table `<prefix>.item_counts`, keys `entity_id` and `part`; DynamoDB removes rows when `expires_at` is past."""

    def __init__(self, client: DynamoClient, table_prefix: str) -> None:
        """client: one that does not try again by itself; what passes is tried again here, with pauses that part"""
        self._client, self._table = client, f"{table_prefix}.item_counts"
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="counts")

    def add(self, touches: Sequence[Touch]) -> None:
        for first in range(0, len(touches), PORTION):
            pending = list(touches[first : first + PORTION])
            why = ""
            for attempt in range(ATTEMPTS):
                if attempt:
                    time.sleep(random.random() * PAUSE_S * 2 ** (attempt - 1))  # noqa: S311 - to part writers
                try:
                    pending = self._unknown(pending)
                    if pending:
                        self._count(pending)
                    break
                except ClientError as error:
                    why = _why(error)
                    if why not in (*PASSING, KNOWN):
                        raise StoreUnavailableError(STORE, why) from error
                except BotoCoreError as error:
                    raise StoreUnavailableError(STORE, type(error).__name__) from error
            else:
                raise StoreUnavailableError(STORE, f"{why}, {ATTEMPTS} times")

    def _unknown(self, touches: Sequence[Touch]) -> list[Touch]:
        """Those without a note. Raises ClientError, BotoCoreError."""
        keys = {_note(touch): touch for touch in touches}
        wanted: Mapping[str, Any] = {self._table: {"Keys": [_key(note, "-") for note in keys], "ConsistentRead": True}}
        answer = self._client.batch_get_item(RequestItems=wanted)
        known = {item["entity_id"]["S"] for item in answer["Responses"].get(self._table, ())}
        if answer.get("UnprocessedKeys"):  # it throttles
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "BatchGetItem")
        return [touch for note, touch in keys.items() if note not in known]

    def _count(self, touches: Sequence[Touch]) -> None:
        """All of them or none. Raises ClientError, BotoCoreError."""
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
        self._client.transact_write_items(TransactItems=actions)

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
        return self._read("hour", first, last, deadline)

    def days(self, first: int, last: int, deadline: Deadline) -> Counts:
        return self._read("day", first, last, deadline)

    def _read(self, unit: str, first: int, last: int, deadline: Deadline) -> Counts:
        if deadline.remaining_ms() <= 0:
            raise StoreUnavailableError(STORE, "no time is left")
        keys = [f"{unit}:{shard}" for shard in range(SHARDS)]
        calls = [self._threads.submit(self._shard, key, first, last, deadline) for key in keys]
        found: dict[int, dict[str, int]] = {}
        try:
            for call in calls:
                for period, item, worth in call.result(timeout=max(deadline.remaining_ms(), 0.0) / 1000):
                    sums = found.setdefault(period, {})
                    sums[item] = sums.get(item, 0) + worth
        except FutureTimeoutError as error:
            raise StoreUnavailableError(STORE, "no time is left") from error
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError(STORE, _why(error)) from error
        return found

    def _shard(self, key: str, first: int, last: int, deadline: Deadline) -> list[tuple[int, str, int]]:
        """(period, item, worth) of the rows of one partition key, page by page; nothing is asked after the deadline."""
        values = {":key": {"S": key}, ":first": {"S": _period(first)}, ":last": {"S": _period(last) + "~"}}
        asked: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "entity_id = :key AND part BETWEEN :first AND :last",
            "ExpressionAttributeValues": values,
        }
        found: list[tuple[int, str, int]] = []
        while deadline.remaining_ms() > 0:
            answer = self._client.query(**asked)
            for row in answer["Items"]:
                period = int(row["part"]["S"].split(":")[0])
                found += [(period, name[2:], int(v["N"])) for name, v in row.items() if name.startswith("i:")]
            if not answer.get("LastEvaluatedKey"):
                return found
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        raise StoreUnavailableError(STORE, "no time is left")


def _key(entity_id: str, part: str) -> dict[str, Any]:
    return {"entity_id": {"S": entity_id}, "part": {"S": part}}


def _why(error: Exception) -> str:
    """The code of a call that failed; of a cancelled transaction the reason that speaks most against another try."""
    if not isinstance(error, ClientError):
        return type(error).__name__
    code = str(error.response["Error"]["Code"])
    if code != "TransactionCanceledException":
        return code
    given: Any = error.response
    reasons = {str(reason.get("Code")) for reason in given.get("CancellationReasons") or ()} - {"None"}
    lasting = sorted(reasons - PASSING - {KNOWN})
    return next(iter([*lasting, *sorted(reasons & PASSING), *sorted(reasons)]), "ThrottlingError")


def _note(touch: Touch) -> str:
    text = f"{len(touch.who)}:{touch.who}{len(touch.item_id)}:{touch.item_id}{touch.event_type}:{touch.hour}"
    return "touch:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _rows(touch: Touch) -> Iterator[tuple[str, str]]:
    """Keys of the hour's and of the day's row."""
    shard, part = _spread(touch.who, SHARDS), _spread(touch.item_id, ITEM_PARTS)
    for unit, period in (("hour", touch.hour), ("day", touch.hour // DAY_HOURS)):
        yield f"{unit}:{shard}", f"{_period(period)}:{part:02d}"


def _period(number: int) -> str:
    return f"{number:08d}"


def _spread(text: str, n: int) -> int:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % n


def _expires(hour: int) -> int:
    """Seconds since 1970 UTC, when nobody reads the hour any more and no repetition of it is counted."""
    return (hour + (KEPT_DAYS + MARGIN_DAYS) * DAY_HOURS) * 3600
