"""Reads the raw event log, wherever it lies and in whichever version it was written, into one Parquet file a log file.

A log is a folder (or s3://bucket/prefix) of JSON lines or Parquet, by day of receipt: `2026-11-01.jsonl` locally,
`year=2026/month=11/day=01/…` as Firehose delivers. A record that cannot be read is set aside with its file and line.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from fusionrec.errors import BadInputError, DataError
from fusionrec.event_log import FIELDS, from_record, to_record

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SCHEMA: Final = pa.schema(
    [
        (
            column.name,
            {
                "string": pa.string(), "bigint": pa.int64(), "double": pa.float64(),
                "array<string>": pa.list_(pa.string()), "map<string,string>": pa.map_(pa.string(), pa.string()),
            }[column.kind],
        )
        for column in FIELDS
    ]
)  # fmt: skip
_DAY: Final = re.compile(r"(?:year=)?(\d{4})[-/](?:month=)?(\d\d)[-/](?:day=)?(\d\d)")

Report = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True, slots=True)
class Window:
    """What was received at or after `start` and before `end`; None: without limit."""

    start: datetime | None = None
    end: datetime | None = None

    def holds_day(self, day: datetime) -> bool:
        return (self.start is None or day + timedelta(days=1) > self.start) and (self.end is None or day < self.end)

    def holds(self, received_at: int) -> bool:
        """received_at: ms since 1970 UTC; a record of version 1, which does not say, goes by its file's day."""
        at = EPOCH + timedelta(milliseconds=received_at)
        return not received_at or ((self.start is None or at >= self.start) and (self.end is None or at < self.end))


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of the log, as it is now: a local one may still grow."""

    path: str
    day: datetime
    size: int

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.path}:{self.size}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Log:
    """A log of events or slates."""

    system: Any  # a pyarrow file system
    root: str

    @classmethod
    def at(cls, place: str) -> Log:
        """place: a folder or s3://bucket/prefix."""
        if "://" in place:
            system, root = pafs.FileSystem.from_uri(place)
            return cls(system, root)
        return cls(pafs.LocalFileSystem(), str(Path(place).resolve()))

    def files(self, window: Window = Window()) -> list[LogFile]:
        """By day, oldest first. Raises DataError when there is no such place, or it cannot be reached."""
        try:
            found = self.system.get_file_info(pafs.FileSelector(self.root, recursive=True))
        except OSError as error:
            raise DataError(f"no log there ({str(error).splitlines()[0]})", pointer=self.root) from None
        files = [LogFile(info.path, _day(info.path), info.size) for info in found if info.is_file and info.size]
        return sorted((file for file in files if window.holds_day(file.day)), key=lambda file: (file.day, file.path))

    def exists(self) -> bool:
        return bool(self.system.get_file_info(self.root).type == pafs.FileType.Directory)

    def read(self, file: LogFile) -> bytes:
        """The file up to the size it had when it was listed."""
        with self.system.open_input_file(file.path) as opened:
            data: bytes = opened.read(file.size)
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _day(path: str) -> datetime:
    found = _DAY.search(path)
    if found is None:
        raise DataError("neither the folder nor the name of this file tells its day", pointer=path)
    return datetime(int(found[1]), int(found[2]), int(found[3]), tzinfo=UTC)


@dataclass(slots=True)
class Gathered:
    """Where the events lie now, and what could not be read."""

    parts: list[Path] = field(default_factory=list)
    n_events: int = 0
    n_rejected: int = 0
    rejected: Path | None = None
    flaw: str = ""  # how many could not be read, with the first one's place and reason; empty where all could


def records(data: bytes) -> Iterator[tuple[int, Any]]:
    """(place, record) of a file: a row of Parquet, a line of JSON; a line that is no JSON gives its error."""
    if data[:4] == b"PAR1":
        yield from enumerate(pq.read_table(pa.BufferReader(data)).to_pylist(), start=1)
        return
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8
                yield number, BadInputError(f"is no JSON ({error})")


def gather(log: Log, window: Window, scratch: Path, report: Report) -> Gathered:
    """The events of the window as Parquet of the current version; a file that was read before is not read again."""
    files = log.files(window)
    scratch.mkdir(parents=True, exist_ok=True)
    found = Gathered()
    for done, file in enumerate(files):
        report("reading the log", done, len(files))
        part = scratch / f"{file.key}.parquet"
        if not part.exists():
            _convert(log, file, window, part)
        found.parts.append(part)
        found.n_events += pq.read_metadata(part).num_rows
    report("reading the log", len(files), len(files))
    flawed = [part.with_suffix(".rejected.jsonl") for part in found.parts]  # not those of files as they were before
    lines = [line for path in flawed if path.is_file() for line in path.read_text().splitlines()]
    if lines:
        found.n_rejected, found.rejected = len(lines), scratch / "rejected.jsonl"
        found.rejected.write_text("\n".join(lines) + "\n")
        found.flaw = _told(lines)
    return found


def _told(lines: Sequence[str]) -> str:
    first = json.loads(lines[0])
    where = f"{first['file']}, line {first['line']}: {first['field']} {first['reason']}".replace(":  ", ": ")
    if len(lines) == 1:
        return f"1 record could not be read ({where})"
    return f"{len(lines)} records could not be read (the first: {where})"


def _convert(log: Log, file: LogFile, window: Window, part: Path) -> None:
    rows, flawed = [], []
    for number, record in records(log.read(file)):
        try:
            if isinstance(record, BadInputError):
                raise record
            event = from_record(record)
        except BadInputError as error:
            flawed.append({"file": file.path, "line": number, "field": error.pointer, "reason": str(error)})
            continue
        if window.holds(event.received_at):
            rows.append({**to_record(event), "properties": list(event.properties.items())})
    if flawed:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in flawed)
        part.with_suffix(".rejected.jsonl").write_text(text)
    unfinished = part.with_suffix(".tmp")
    with unfinished.open("wb") as file_:  # Python's errors name the file
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file_, compression="zstd")
    unfinished.replace(part)
