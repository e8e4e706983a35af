"""A replay of the raw log ends in the rows that live absorption left."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.feedback_world import CLOCK, history
from fusionrec.absorb import Absorber
from fusionrec.adapters.local_files import DirectSink, EventFiles
from fusionrec.adapters.memory import MemoryFeatures, MemoryLinks
from fusionrec.errors import DataError, StoreUnavailableError
from fusionrec.event_log import to_record
from fusionrec.ports import Interaction, Message
from training.feedback import replay as module
from training.feedback.log import SCHEMA, Log, Window
from training.feedback.replay import replay

GOLDEN = Path("tests/contract/golden")


def silent(what: str, done: int, total: int) -> None: ...


class World:
    """Stores in memory."""

    def __init__(self) -> None:
        self.features, self.links = MemoryFeatures(CLOCK), MemoryLinks()
        self.absorber = Absorber(self.features, self.features, CLOCK, self.links)

    @property
    def rows(self):
        return self.features._rows["user_session"], self.links.by_session


@pytest.fixture
def messages() -> list[Message]:
    return history(Random(5), 600, 12, linked=1.0)


@pytest.fixture
def live(messages: list[Message], tmp_path: Path) -> World:
    """What live absorption left, with the log that it wrote: some events twice, an impression, all shuffled."""
    world = World()
    sink, log = DirectSink(world.absorber), EventFiles(tmp_path / "log")
    Random(1).shuffle(messages)
    events = [message for message in messages if isinstance(message, Interaction)]
    shown = Interaction("shown", "u1", "s1-0", "", "impression", events[0].sent_at, impression=("i1",))
    log.append([*events, shown, *events[:50]])
    sink.put(messages)
    return world


def run(world: World, tmp_path: Path, window: Window = Window(), report=silent):  # noqa: B008
    log = Log.at(str(tmp_path / "log"))
    return replay(log, window, world.absorber, world.links, tmp_path / "scratch", report)


@pytest.mark.parametrize("portion", [37, 20_000])
def test_every_row_is_as_live_absorption_left_it(live, tmp_path, monkeypatch, portion) -> None:
    monkeypatch.setattr(module, "PORTION", portion)
    again = World()
    done = run(again, tmp_path)
    assert again.rows == live.rows
    assert done.n_events == 651
    assert done.n_users == len(live.rows[0])
    assert not (tmp_path / "scratch").exists()


def test_replaying_onto_live_rows_changes_nothing(live, tmp_path) -> None:
    before = {key: dict(value[1]) for key, value in live.rows[0].items()}
    run(live, tmp_path)
    assert {key: dict(value[1]) for key, value in live.rows[0].items()} == before


def test_an_interrupted_replay_continues_where_it_stopped(live, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "PORTION", 60)
    again = World()

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "absorbing" and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(again, tmp_path, report=interrupt)
    assert again.rows[0].keys() < live.rows[0].keys()
    absorbed: list[str] = []
    fold = Absorber.absorb
    monkeypatch.setattr(Absorber, "absorb", lambda self, key, found: (absorbed.append(key), fold(self, key, found)))
    run(again, tmp_path)
    assert again.rows == live.rows
    assert len(absorbed) < len(live.rows[0])  # the portions that were done were not done again


def test_an_interrupted_replay_begins_anew_where_the_rows_were_lost_since(live, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "PORTION", 60)

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "absorbing" and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(World(), tmp_path, report=interrupt)
    another = World()
    run(another, tmp_path)
    assert another.rows == live.rows


def test_a_line_that_cannot_be_read_is_told_and_holds_up_no_later_replay(live, tmp_path) -> None:
    [file] = (tmp_path / "log").glob("*.jsonl")
    whole = file.read_text()
    file.write_text(whole + '{"half\n')
    told = run(World(), tmp_path).gathered.flaw
    n_lines = len(whole.splitlines())
    assert told.startswith("1 record could not be read (") and f"{file.name}, line {n_lines + 1}: is no JSON" in told
    another = World()
    assert run(another, tmp_path).gathered.flaw  # again, into a store that is empty
    assert another.rows == live.rows
    file.write_text(whole)
    mended = World()
    assert run(mended, tmp_path).gathered.flaw == ""
    assert mended.rows == live.rows
    assert not (tmp_path / "scratch").exists()


def test_a_store_that_throttles_is_asked_again(live, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    again, turns = World(), iter(range(10**6))
    write = again.features.write

    def sometimes(*args, **kwargs) -> None:
        if next(turns) % 3 == 0:
            raise StoreUnavailableError("user_session", "throttled")
        write(*args, **kwargs)

    monkeypatch.setattr(again.features, "write", sometimes)
    run(again, tmp_path)
    assert again.rows == live.rows


def test_a_window_takes_what_was_received_in_it(tmp_path) -> None:
    def received(number: int, hour: int) -> Interaction:
        at = int(datetime(2026, 10, 20, hour, tzinfo=UTC).timestamp() * 1000)
        return Interaction(f"e{number}", "u", "s", "i", "view", at - 1, received_at=at)

    folder = tmp_path / "log" / "year=2026" / "month=10" / "day=20"
    folder.mkdir(parents=True)
    rows = [{**to_record(received(n, n)), "properties": []} for n in range(24)]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "part-0")  # Firehose gives no suffix
    world = World()
    start, end = datetime(2026, 10, 20, 6, tzinfo=UTC), datetime(2026, 10, 20, 9, tzinfo=UTC)
    assert run(world, tmp_path, Window(start, end)).n_events == 3
    assert world.features.read("u", CLOCK.deadline(1)).session["event_ids"] == ["e6", "e7", "e8"]
    assert run(World(), tmp_path, Window(datetime(2026, 10, 21, tzinfo=UTC))).n_events == 0


def test_logs_of_every_version_and_form_are_read(tmp_path) -> None:
    day = tmp_path / "log" / "year=2026" / "month=10" / "day=31"
    day.mkdir(parents=True)
    (day / "a").write_bytes((GOLDEN / "event-log-v1.parquet").read_bytes())
    (day / "b.gz").write_bytes(gzip.compress((GOLDEN / "event-log-v2.jsonl").read_bytes()))
    world = World()
    assert run(world, tmp_path).n_events == 7
    assert world.features.read("4711", CLOCK.deadline(1)).session["event_ids"] == ["0b9e-1", "0b9e-2"]


def test_a_line_that_was_torn_is_set_aside_and_the_next_is_whole(tmp_path) -> None:
    log = EventFiles(tmp_path / "log")
    first, second = (Interaction(f"e{n}", "u\u2028", "s", "i", "view", 1_792_000_000_000 + n) for n in (1, 2))
    log.append([first])
    (path,) = (tmp_path / "log").iterdir()
    path.write_bytes(path.read_bytes() + b'{"event_id": "torn", "us')
    log.append([second])
    world = World()
    done = run(world, tmp_path)
    assert (done.n_events, done.gathered.n_rejected) == (2, 1)
    assert done.gathered.rejected is not None
    told = json.loads(done.gathered.rejected.read_text())
    assert (told["file"], told["line"]) == (str(path), 2)
    assert world.features.read("u\u2028", CLOCK.deadline(1)).session["event_ids"] == ["e1", "e2"]


def test_no_log_is_said(tmp_path) -> None:
    with pytest.raises(DataError, match="no log there"):
        run(World(), tmp_path)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="tells its day"):
        run(World(), tmp_path)
