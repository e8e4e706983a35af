"""What shops say of items between two trainings: an append-only log that many write and every function reads.

One object an update, `0000000001.json`, `0000000002.json`, …. A writer appends by creating the next number, which
succeeds for one writer only; so there are no gaps, nothing is overwritten, and a writer that dies leaves an update or
none. A reader asks for the number after its last: "not there" is all that a poll costs. `snapshot.json`, the whole sum
whatever bundle is served, spares new readers the way from number 1; it is a copy that may be old or missing, the
numbered objects are the truth. A reader takes what is new in portions of time and goes on with the next poll.

The state is a function of the set of updates: of each field of each item the value with the greatest `updated_at`
counts, of equal ones the one with the greater number.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from fusionrec.errors import DataError, StoreUnavailableError
from fusionrec.feature_spec import ITEM_ATTRIBUTES
from fusionrec.observability import logger

VERSION: Final = 1  # of an update
SUM_VERSION: Final = 2  # of a snapshot; the first left out what a bundle held, and cannot be read after a rollback
STORE: Final = "item_updates"
SNAPSHOT: Final = "snapshot.json"
SNAPSHOT_EVERY: Final = 32  # updates; a new reader fetches at most about as many one by one
POLL_S: Final = 0.25  # a poll asks for nothing more after this time: no request waits for a long way
APPEND_S: Final = 3.0  # for a writer to come to the end of the log and get a number there

Value = str | int | bool | tuple[str, ...]
TEXTS: Final = tuple(feature.name for feature in ITEM_ATTRIBUTES.features if feature.dtype == "string")
ATTRIBUTES: Final = tuple(feature.name for feature in ITEM_ATTRIBUTES.features)  # what training takes over
PRICE: Final = "price_cents"
AVAILABLE: Final = "available"
FIELDS: Final = (*ATTRIBUTES, PRICE, AVAILABLE)


class Objects(Protocol):
    """A place for named objects. All methods raise StoreUnavailableError."""

    def get(self, name: str) -> bytes | None: ...

    def create(self, name: str, body: bytes) -> bool:
        """False when the name is taken; then nothing was written. A crash leaves the whole object or none."""

    def replace(self, name: str, body: bytes) -> None:
        """Write, whatever was there; a reader sees the old or the new body, whole."""


@dataclass(frozen=True, slots=True)
class ItemUpdate:
    """New values of some fields of one item. Times are ms since 1970 UTC."""

    item_id: str
    updated_at: int
    fields: Mapping[str, Value]
    received_at: int = 0


class Stamped(NamedTuple):
    """A value, and by which update it holds."""

    value: Value
    updated_at: int
    number: int


Item = dict[str, Stamped]


class ItemLog:
    """One reader's, or writer's, view of the log; safe for several threads."""

    def __init__(
        self, objects: Objects, *, from_snapshot: bool = True, timer: Callable[[], float] = time.monotonic
    ) -> None:
        """from_snapshot: False for readers that trust the numbered objects alone; timer: s"""
        self._objects, self._from_snapshot, self._timer = objects, from_snapshot, timer
        self._lock = threading.RLock()
        self.through = 0  # the last number that `items` knows
        self.items: dict[str, Item] = {}
        self._changed: set[str] = set()
        self._n_walked = SNAPSHOT_EVERY  # updates taken one by one on the way to the end; a new reader looks at once
        self._summed = 0  # the last number that a snapshot is known to hold

    def poll(self, budget_s: float = POLL_S) -> bool:
        """Take what is new. True: that was all; False: the time is spent, and the next poll goes on from here.

        budget_s: nothing is asked for later than this, but a snapshot and one update, so that each poll gets on; how
                  long a single answer may take is up to the client's timeouts
        raises: StoreUnavailableError; what was taken before is kept
        """
        with self._lock:
            ends_at = self._timer() + budget_s
            if self._n_walked >= SNAPSHOT_EVERY:  # far behind: somebody may have summed it up
                self._take_snapshot()
            while (body := self._objects.get(segment(self.through + 1))) is not None:
                self._take(self.through + 1, body)
                self._n_walked += 1
                if self._timer() >= ends_at:
                    return False
                if self._n_walked >= SNAPSHOT_EVERY:
                    self._take_snapshot()
            self._n_walked = 0
            return True

    def catch_up(self, budget_s: float = APPEND_S) -> None:
        """Come to the end. Raises StoreUnavailableError, also when the time does not suffice: asking again goes on."""
        if not self.poll(budget_s):
            raise StoreUnavailableError(STORE, f"more updates than could be read in {budget_s:.1f} s")

    def digest(self, number: int) -> str:
        """sha256 of an update as it lies there, "" where there is none: tells one log from another that counts alike.

        raises: StoreUnavailableError
        """
        body = self._objects.get(segment(number))
        return "" if body is None else hashlib.sha256(body).hexdigest()

    def changes(self) -> set[str]:
        """Ids of the items that changed since this was asked last."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return changed

    def append(self, update: ItemUpdate) -> int:
        """The number of the update, once it is durable; no try begins after APPEND_S.

        raises: StoreUnavailableError; the update may be in the log then, and appending it again is safe
        """
        body = encode(update)
        with self._lock:
            ends_at = self._timer() + APPEND_S
            turn = 0
            while (left := ends_at - self._timer()) > 0:
                self.catch_up(left)
                number = self.through + 1
                if self._objects.create(segment(number), body):
                    self._take(number, body)
                    if number % SNAPSHOT_EVERY == 0 or number - self._summed >= 2 * SNAPSHOT_EVERY:  # one was lost
                        self._write_snapshot()
                    return number
                turn += 1
                time.sleep(random.random() * min(turn, 10) * 0.001)  # noqa: S311 - to part writers, not to hide
        raise StoreUnavailableError(STORE, f"other writers took every number for {APPEND_S:.1f} s")

    def _take(self, number: int, body: bytes) -> None:
        self.through = number
        try:
            update = decode(body)
        except DataError as error:  # it will never be readable, and must not keep the later ones out
            logger.error("item update skipped", extra={"number": number, "detail": str(error)})
            return
        fold(self.items, number, update)
        self._changed.add(update.item_id)

    def _take_snapshot(self) -> None:
        """Jump to the snapshot where it is further."""
        self._n_walked = 0
        body = self._objects.get(SNAPSHOT) if self._from_snapshot else None
        if body is None:
            return
        try:
            fields = json.loads(body)
            through = int(fields["through"])
            if fields["schema_version"] != SUM_VERSION or through <= self.through:
                return
            items = {item_id: _stamped(item) for item_id, item in fields["items"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.error("item snapshot ignored", extra={"detail": f"{type(error).__name__}: {error}"})
            return
        known = self.through
        self.through, self.items, self._summed = through, items, through
        self._changed |= {id_ for id_, item in items.items() if any(each.number > known for each in item.values())}

    def _write_snapshot(self) -> None:
        body = {"schema_version": SUM_VERSION, "through": self.through, "items": self.items}
        try:
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
            self._objects.replace(SNAPSHOT, text.encode("utf-8", "surrogatepass"))
        except StoreUnavailableError:  # the update itself is safe; a later snapshot will hold it
            logger.exception("item snapshot not written", extra={"number": self.through})
        else:
            self._summed = self.through


def segment(number: int) -> str:
    return f"{number:010d}.json"


def fold(items: dict[str, Item], number: int, update: ItemUpdate) -> None:
    """Take an update in; the same result whatever the order."""
    item = dict(items.get(update.item_id, {}))  # a new one: readers may hold the old
    for name, value in update.fields.items():
        known = item.get(name)
        if known is None or (known.updated_at, known.number) <= (update.updated_at, number):
            item[name] = Stamped(value, update.updated_at, number)
    items[update.item_id] = item


def encode(update: ItemUpdate) -> bytes:
    record = {
        "schema_version": VERSION,
        "item_id": update.item_id,
        "updated_at": update.updated_at,
        "received_at": update.received_at,
        "fields": dict(update.fields),
    }
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode(body: bytes) -> ItemUpdate:
    """Fields that a later version added are ignored. Raises DataError."""
    try:
        record = json.loads(body.decode("utf-8", "surrogatepass"))
        given = record["fields"]
        fields = {name: _value(name, given[name]) for name in FIELDS if name in given}
        item_id, updated_at = record["item_id"], record["updated_at"]
        if not (isinstance(item_id, str) and item_id and type(updated_at) is int):
            raise TypeError("item_id is a text and updated_at a whole number")
        return ItemUpdate(item_id, updated_at, fields, int(record.get("received_at", 0)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not an item update ({type(error).__name__}: {error})") from None


def _value(name: str, value: Any) -> Value:
    kind: Any = str if name in TEXTS else list if name in ATTRIBUTES else int if name == PRICE else bool
    if type(value) is not kind or (kind is list and not all(isinstance(text, str) for text in value)):
        raise TypeError(f"{name} is {value!r:.80}")
    return tuple(value) if kind is list else value


def _stamped(item: Mapping[str, Any]) -> Item:
    return {
        name: Stamped(_value(name, value), int(updated_at), int(number))
        for name, (value, updated_at, number) in item.items()
        if name in FIELDS
    }
