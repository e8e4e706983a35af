"""Builds the live features again from the raw log: the same rows as if every event had been absorbed as it came.

Users are done in portions; after each the progress is written, so that an interrupted replay continues. Running it
again, or beside the live consumer, changes nothing that it should not: a row is a function of the set of its events,
and a row that somebody else changed meanwhile is read anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import duckdb

from fusionrec.absorb import MAX_USERS, READ_MS, Absorber
from fusionrec.errors import StoreUnavailableError
from fusionrec.ports import IMPRESSION, Interaction, SessionLinks
from fusionrec.state_keys import SESSION_PREFIX
from training.feedback.log import Gathered, Log, Report, Window, gather

PORTION: Final = 20_000  # events that are in memory at a time, about
ATTEMPTS: Final = 5
PAUSE_S: Final = 0.2  # after a store did not answer; doubled each time

# Every user's own events, and those of the sessions in which it logged in. What tells who logged in where is that an
# event names both; a session of a crowd joins nobody, as in absorb.py.
_OWNED: Final = """
create temp view acts as select * from read_parquet($parts) where event_type <> $impression;
create temp table links as
  select session_id, user_id, max(sent_at) as linked_at from read_parquet($parts)
  where not starts_with(user_id, $prefix) group by all;
create temp table persons as
  select * from links where session_id in (select session_id from links group by all having count(*) <= $max_users);
create temp view owned as
  select user_id as owner, false as handed, * from acts
  union all
  select persons.user_id as owner, true as handed, acts.*
  from acts join persons on acts.user_id = $prefix || persons.session_id;
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    n_events: int
    n_users: int
    n_links: int
    gathered: Gathered


@dataclass(slots=True)
class Progress:
    """`progress.json` in the scratch folder: which portions are done, for these very files."""

    path: Path
    made_from: str
    n_portions: int
    done: list[int]

    @classmethod
    def load(cls, path: Path, made_from: str, n_portions: int) -> Progress:
        try:
            saved = json.loads(path.read_bytes())
            if (saved["made_from"], saved["n_portions"]) == (made_from, n_portions):
                return cls(path, made_from, n_portions, [int(n) for n in saved["done"]])
        except (OSError, ValueError, KeyError, TypeError):  # none, or a damaged one: begin anew, which is safe
            pass
        return cls(path, made_from, n_portions, [])

    def finish(self, portion: int) -> None:
        self.done.append(portion)
        scratch = self.path.with_suffix(".tmp")
        fields = {"made_from": self.made_from, "n_portions": self.n_portions, "done": self.done}
        scratch.write_text(json.dumps(fields) + "\n")
        scratch.replace(self.path)


def replay(
    log: Log, window: Window, absorber: Absorber, links: SessionLinks, scratch: Path, report: Report
) -> Replayed:
    """Absorb the window's events into the absorber's store; the scratch folder is removed at the end.

    raises: DataError for a place without log, StoreUnavailableError when the store stays away: run it again
    """
    gathered = gather(log, window, scratch, report)
    n_users = n_links = 0
    if gathered.n_events:
        with duckdb.connect(config={"threads": 1, "temp_directory": str(scratch)}) as connection:
            n_users, n_links = _absorb_all(connection, gathered, absorber, links, scratch, report)
    if not gathered.n_rejected:
        shutil.rmtree(scratch)
    return Replayed(gathered.n_events, n_users, n_links, gathered)


def _absorb_all(
    connection: Any, gathered: Gathered, absorber: Absorber, links: SessionLinks, scratch: Path, report: Report
) -> tuple[int, int]:
    values = {"parts": [str(part) for part in gathered.parts], "impression": IMPRESSION, "prefix": SESSION_PREFIX}
    _run(connection, _OWNED, {**values, "max_users": MAX_USERS})
    n_owned, n_users = connection.execute("select count(*), count(distinct owner) from owned").fetchone()
    found = connection.execute("select session_id, user_id, linked_at from links order by all").fetchall()
    n_portions = n_owned // PORTION + 1
    made_from = hashlib.sha256("".join(part.name for part in gathered.parts).encode()).hexdigest()[:16]
    progress = Progress.load(scratch / "progress.json", made_from, n_portions)
    for portion in range(n_portions):
        report("absorbing", portion, n_portions)
        owners = _portion(connection, portion, n_portions)
        if portion not in progress.done or not _holds(absorber, next(owners, None)):
            for owner, events in _portion(connection, portion, n_portions):
                _patiently(absorber, owner, events)
            for session_id, user_id, at in found[portion::n_portions]:
                links.add(session_id, user_id, at)
            progress.finish(portion)
    progress.path.unlink()  # what is run again begins again: rows may have been lost since
    report("absorbing", n_portions, n_portions)
    return n_users, len(found)


def _holds(absorber: Absorber, first: tuple[str, list[Interaction]] | None) -> bool:
    """Is the first user's row of a portion that was done still there? The store may be another one by now."""
    if first is None:
        return True
    row = absorber.users.read(first[0], absorber.clock.deadline(READ_MS)).session
    return bool(row["event_ids"]) or not any(event.is_act for event in first[1])


def _run(connection: Any, statements: str, values: dict[str, Any]) -> None:
    """Views take no parameters, so the values are written into the text, quoted."""
    for name, value in values.items():
        quoted = [str(item).replace("'", "''") for item in (value if isinstance(value, list) else [value])]
        text = str(value) if isinstance(value, int) else ", ".join(f"'{item}'" for item in quoted)
        statements = statements.replace(f"${name}", f"[{text}]" if isinstance(value, list) else text)
    connection.execute(statements)


def _portion(connection: Any, portion: int, n_portions: int) -> Iterator[tuple[str, list[Interaction]]]:
    rows = connection.execute(
        "select owner, event_id, session_id, item_id, event_type, sent_at, event_value, handed from owned "
        "where hash(owner) % ? = ? order by owner",
        [n_portions, portion],
    ).fetchall()
    for owner, found in groupby(rows, key=lambda row: row[0]):
        yield owner, [replace(Interaction(row[1], owner, *row[2:7]), handed=row[7]) for row in found]


def _patiently(absorber: Absorber, owner: str, events: list[Interaction]) -> None:
    """A store that throttles, or a row that the live consumer changed in between, is asked again."""
    for attempt in range(ATTEMPTS):
        try:
            absorber.absorb(owner, events)
        except StoreUnavailableError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE_S * 2**attempt)
        else:
            return
