"""`fusionrec events …` as a user types it."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fusionrec.adapters.local_files import DeadLetterFiles, EventFiles
from fusionrec.adapters.writers import writing
from fusionrec.errors import BadInputError, DataError, StoreUnavailableError
from fusionrec.ports import Interaction
from training.cli import app

AT = 1_792_000_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    monkeypatch.setenv("FUSIONREC_DATASET", "shop")
    return tmp_path / "shop"


def run(*arguments: str) -> str:
    """Output of a command; its own errors are raised, as `training.cli.main` gets them."""
    done = CliRunner().invoke(app, ["events", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_labels_are_written_and_told(folder: Path) -> None:
    shown = Interaction("i", "u", "s", "", "impression", AT, recommendation_id="r", impression=("a", "b"))
    click = Interaction("c", "u", "s", "b", "click", AT + 1000, recommendation_id="r")
    EventFiles(folder / "log" / "events").append([shown, click])
    told = run("labels", "--set", "click=0.7", "--set", "eta=0.5")
    assert "2 labels, 1 of items on display that were not touched" in told
    assert "(1 + position) ** -0.5 (as set)" in told
    rows = {row["item_id"]: row for row in pq.read_table(folder / "feedback" / "labels.parquet").to_pylist()}
    assert (rows["a"]["label"], round(rows["b"]["label"], 6)) == (0.0, 0.7)
    assert json.loads((folder / "feedback" / "labels.json").read_text())["config"]["click"] == 0.7


@pytest.mark.parametrize("given", ["colour=1", "click=red"])
def test_a_weight_that_is_none_is_refused(folder: Path, given: str) -> None:
    with pytest.raises(BadInputError, match=r"no weight 'colour'|'red' is no number"):
        run("labels", "--set", given)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_weight_that_is_no_finite_number_is_refused(folder: Path, value: str) -> None:
    with pytest.raises(BadInputError, match=f"cart must be a finite number, not {value}"):
        run("labels", "--set", f"cart={value}")


@pytest.mark.parametrize("command", ["labels", "replay"])
@pytest.mark.parametrize("end", ["2026-11-01", "2026-11-02", "2026-11-01T23:59:59Z"])
def test_a_window_that_ends_before_it_begins_is_refused(folder: Path, command: str, end: str) -> None:
    with pytest.raises(BadInputError, match=f"2026-11-02 is not before --to {end}") as caught:
        run(command, "--from", "2026-11-02", "--to", end)
    assert caught.value.pointer == "--from"


def test_a_day_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(BadInputError, match="no day or time") as caught:
        run("labels", "--from", "last week")
    assert caught.value.pointer == "--from"


def test_without_a_log_it_says_so(folder: Path) -> None:
    with pytest.raises(DataError, match="no log there"):
        run("labels")


def test_dead_letters_are_listed_with_their_reasons_and_stay(folder: Path) -> None:
    assert "no dead letters" in run("redrive", "--list")
    DeadLetterFiles(folder / "log" / "dead-letters").put("{", "u", "unreadable", "not an event message")
    for _ in range(2):
        assert "unreadable" in run("redrive", "--list")


def test_the_cloud_needs_both_queues(folder: Path) -> None:
    with pytest.raises(BadInputError, match="name both queues"):
        run("redrive", "--cloud", "--queue-url", "https://sqs/x.fifo")


@pytest.mark.parametrize("command", ["replay", "redrive"])
def test_data_that_are_not_prepared_are_told_at_once(folder: Path, command: str) -> None:
    with pytest.raises(DataError, match=r"no prepared data in \S+nope; run `fusionrec data prepare` first"):
        run(command, "--data", "nope")
    assert not (folder.parent / "nope").exists()


@pytest.mark.parametrize("command", ["replay", "redrive"])
def test_nobody_writes_beside_a_server(folder: Path, command: str) -> None:
    folder.mkdir()
    refused = pytest.raises(
        StoreUnavailableError, match="another server, replay or redrive writes those of shop; stop it"
    )
    with writing(folder), refused:
        run(command)
    with pytest.raises(DataError, match="no prepared data"):  # the server is gone
        run(command)


def test_one_writes_after_the_other(folder: Path) -> None:
    folder.mkdir()
    for _ in range(2):
        with writing(folder), pytest.raises(StoreUnavailableError, match="another server"), writing(folder):
            pass


def test_the_version() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.output.split()) == (0, ["fusionrec", metadata.version("fusionrec")])


def test_labels_tell_of_a_line_that_could_not_be_read(folder: Path) -> None:
    EventFiles(folder / "log" / "events").append([Interaction("c", "u", "s", "b", "click", AT)])
    [file] = (folder / "log" / "events").glob("*.jsonl")
    file.write_text(file.read_text() + '{"half\n')
    assert "1 record could not be read (" in run("labels")
    assert ", line 2: is no JSON" in run("labels")
