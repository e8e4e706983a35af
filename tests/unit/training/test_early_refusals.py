"""What a command can refuse at once, it refuses before the minutes of work."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusionrec.errors import BadInputError, DataError
from tests.suites.small_shop import prepared_shop
from training.cli import app


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    return prepared_shop(tmp_path)


def test_train_asks_for_features_before_it_fits_anything(shop: Path) -> None:
    with pytest.raises(DataError, match="run `fusionrec features sync --data shop` first"):
        CliRunner().invoke(app, ["train", "--data", "shop"], catch_exceptions=False)
    assert not (shop / "work").exists()
    assert not (shop / "runs").exists()


@pytest.mark.parametrize("option", ["--test-days", "--validation-days"])
def test_an_endless_window_is_refused(shop: Path, option: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in shop.rglob("*")}
    asked = ["data", "prepare", "--source", "csv", "--events", str(shop.parent / "shop.csv"), "--name", "shop"]
    done = CliRunner().invoke(app, [*asked, option, "inf"])
    assert done.exit_code == 2, done.output
    assert option in done.output
    assert {path: path.stat().st_mtime_ns for path in shop.rglob("*")} == before


@pytest.fixture
def short(shop: Path) -> Path:
    """Prepared anew with windows in which nobody did anything, and histories of two."""
    lines = [f"u{n},i{n % 7},purchase,2026-0{month}-{n + 1:02d}T10:00:00Z" for n in range(4) for month in (3, 6)]
    return prepared_shop(shop.parent, "short", lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "--data", "short"], r"no requests \(validation\)"),
        (["evaluate", "--data", "short", "--protocol", "leave-one-out"], "three interactions"),
        (["evaluate", "--data", "shop", "--seen", "some"], "'some' is not one of keep, mask"),
        (["evaluate", "--data", "nowhere"], "no prepared data"),
        (["search", "--part", "ease", "--data", "short"], r"no requests \(validation\)"),
        (["search", "--part", "magic", "--data", "shop"], "magic"),
        (["update", "--data", "shop"], "features"),
    ],
)
def test_what_is_refused_leaves_no_run(shop: Path, short: Path, words: list[str], message: str) -> None:
    before = sorted(shop.parent.rglob("*"))
    with pytest.raises(BadInputError, match=message):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert sorted(shop.parent.rglob("*")) == before


@pytest.mark.parametrize("command", ["train", "update"])
def test_what_is_refused_with_features_leaves_no_run(
    short: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("training.item_columns.require_features", lambda _: None)
    before = sorted(short.rglob("*"))
    with pytest.raises(DataError):
        CliRunner().invoke(app, [command, "--data", "short"], catch_exceptions=False)
    assert sorted(short.rglob("*")) == before


@pytest.mark.parametrize("command", ["score", "serve"])
def test_without_a_model_the_remedy_names_the_data(shop: Path, command: str) -> None:
    with pytest.raises(DataError, match="no trained model there; run `fusionrec train --data shop` first"):
        CliRunner().invoke(app, [command, "--data", "shop"], catch_exceptions=False)
    (shop / "bundles" / "v1").mkdir(parents=True)
    (shop / "bundles" / "v1" / "manifest.json").touch()
    with pytest.raises(DataError, match="none was promoted; `fusionrec models promote --data shop` says why"):
        CliRunner().invoke(app, [command, "--data", "shop"], catch_exceptions=False)
