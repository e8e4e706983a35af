"""What a command can refuse at once, it refuses before the minutes of work."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusionrec.errors import DataError
from training.cli import app
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared data set without features."""
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    lines = [f"u{n % 5},i{n % 7},purchase,2026-03-{1 + n // 2:02d}T0{n % 10}:00:00Z" for n in range(60)]
    events = tmp_path / "events.csv"
    events.write_text("\n".join(["userId,itemId,eventType,sentAt", *lines]) + "\n")
    inputs = Inputs(home=tmp_path, events=events)
    return prepare(source_named("csv"), inputs, "shop", Options(), lambda _: None)[0].folder


def test_train_asks_for_features_before_it_fits_anything(shop: Path) -> None:
    with pytest.raises(DataError, match="run `fusionrec features sync --data shop` first"):
        CliRunner().invoke(app, ["train", "--data", "shop"], catch_exceptions=False)
    assert not (shop / "work").exists()
    assert not (shop / "runs").exists()


@pytest.mark.parametrize("option", ["--test-days", "--validation-days"])
def test_an_endless_window_is_refused(shop: Path, option: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in shop.rglob("*")}
    asked = ["data", "prepare", "--source", "csv", "--events", str(shop.parent / "events.csv"), "--name", "shop"]
    done = CliRunner().invoke(app, [*asked, option, "inf"])
    assert done.exit_code == 2, done.output
    assert option in done.output
    assert {path: path.stat().st_mtime_ns for path in shop.rglob("*")} == before
