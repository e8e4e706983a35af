"""Counts of touches per item and hour, and per item and day, in a SQLite file: what is trending, locally.

It notes each touch and adds to the two sums in one transaction, if the touch was not noted yet: a crash, a repetition
or a second writer cannot count it twice.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fusionrec.adapters.item_counts import MARGIN_DAYS, STORE
from fusionrec.errors import StoreUnavailableError
from fusionrec.ports import Deadline, Touch
from fusionrec.trending import DAY_HOURS, KEPT_DAYS, WORTH, Counts


class SqliteCounts:
    """One small file, which several processes may use; held open, since opening costs ten times a write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # one connection for all threads
        self._held: tuple[int, sqlite3.Connection] | None = None  # with the file's inode: it may be another one by now

    def add(self, touches: Sequence[Touch]) -> None:
        with self._connected() as connection, connection:
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
        with self._connected() as connection:
            for period, item, worth in connection.execute(asked, (unit, first, last)):
                found.setdefault(period, {})[item] = worth
        return found

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _guarded():
            try:
                if self._held is None or self._held[0] != self._inode():
                    self._close()
                    connection = self._open()
                    self._held = (self._inode(), connection)
                yield self._held[1]
            except BaseException:
                self._close()
                raise

    def _inode(self) -> int:
        return self._path.stat().st_ino if self._path.exists() else 0

    def _close(self) -> None:
        if self._held is not None:
            self._held[1].close()
        self._held = None

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")  # a power cut may lose the last touches; a replay counts them
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
