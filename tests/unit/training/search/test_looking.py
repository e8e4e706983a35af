"""`fusionrec search --minutes 0` looks at what earlier runs found, and does nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusionrec.errors import BadInputError
from training.cli import app
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    lines = [f"u{n % 5},i{n % 7},purchase,2026-03-{1 + n // 2:02d}T0{n % 10}:00:00Z" for n in range(60)]
    events = tmp_path / "events.csv"
    events.write_text("\n".join(["userId,itemId,eventType,sentAt", *lines]) + "\n")
    return prepare(source_named("csv"), Inputs(home=tmp_path, events=events), "shop", Options(), lambda _: None)[
        0
    ].folder


def search(*words: str) -> str:
    done = CliRunner().invoke(app, ["search", "--part", "ease", "--data", "shop", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_where_nothing_was_searched_it_is_refused_and_leaves_nothing(shop: Path) -> None:
    before = sorted(shop.rglob("*"))
    with pytest.raises(BadInputError, match="none finished a trial of ease: give more") as refused:
        search("--minutes", "0")
    assert refused.value.pointer == "--minutes"
    assert sorted(shop.rglob("*")) == before


def test_it_tells_what_was_found_and_tries_nothing(shop: Path) -> None:
    found = search("--minutes", "0.001")
    (kept,) = (path for path in shop.rglob("*.json") if "ease" in path.name)
    n_trials = json.loads(kept.read_text())["n_trials"]
    looked = search("--minutes", "0")
    assert json.loads(kept.read_text())["n_trials"] == n_trials
    assert [line for line in found.splitlines() if line.startswith("best of")] == [
        line for line in looked.splitlines() if line.startswith("best of")
    ]


def test_trials_of_other_users_do_not_count(shop: Path) -> None:
    search("--minutes", "0.001")
    with pytest.raises(BadInputError, match="none finished a trial"):
        search("--minutes", "0", "--users", "2", "--seed", "5")
