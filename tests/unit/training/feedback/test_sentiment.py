from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusionrec.event_log import to_record
from fusionrec.ports import Interaction
from fusionrec.surge import Vote
from training.cli import app
from training.feedback.sentiment import opinion

START = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    log = tmp_path / "shop" / "log" / "events"
    log.mkdir(parents=True)
    return log


def write(log: Path, n_good: int, n_bad: int, **fields) -> None:
    events = []
    for number in range(n_good + n_bad):
        good = number < n_good
        at = START + (timedelta(days=number) if good else timedelta(days=n_good, hours=number - n_good))
        text = "I love it, great." if good else "Terrible, it broke. Worst purchase ever."
        event = Interaction(f"e{number}", f"u{number}", "s", "kettle", "rating", int(at.timestamp() * 1000), text=text)
        events.append(to_record(event))
    events.append(to_record(Interaction("v", "u", "s", "kettle", "view", int(START.timestamp() * 1000))))
    lines = "".join(json.dumps(event) + "\n" for event in [*events, *events[: n_good // 2]])  # some are told twice
    (log / "2026-11-01.jsonl").write_text(lines)


def test_the_table_shows_share_trend_and_surge(shop: Path) -> None:
    write(shop, n_good=40, n_bad=10)
    done = CliRunner().invoke(app, ["events", "sentiment", "--data", "shop"])
    assert done.exit_code == 0, done.output
    row = next(line for line in done.output.splitlines() if "item:kettle" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[1:3] == ["50", "10"]
    assert int(cells[3].rstrip("%")) > 70
    assert cells[4] == "0%"
    assert "2026-10-11 (quality)" in cells[6]


def test_without_texts_it_says_so(shop: Path) -> None:
    write(shop, n_good=0, n_bad=0)
    done = CliRunner().invoke(app, ["events", "sentiment", "--data", "shop"])
    assert done.exit_code == 0
    assert "no event of the log carries a text" in done.output


def test_a_record_that_cannot_be_read_is_named(shop: Path) -> None:
    write(shop, n_good=3, n_bad=0)
    with (shop / "2026-11-01.jsonl").open("a") as log:
        log.write("{half\n")
    done = CliRunner().invoke(app, ["events", "sentiment", "--data", "shop"])
    assert done.exit_code == 0
    assert "1 record could not be read" in done.output
    assert "2026-11-01.jsonl, line 6: is no JSON" in done.output
    assert "item:kettle" in done.output


def test_a_single_text_has_a_share_and_no_history() -> None:
    row = opinion("item:x", [Vote(1, "e", "u", True, "price")])
    assert (row.n_voters, row.n_negative, row.share, row.usual_share, row.surges) == (1, 1, 1.0, 0.0, ())
