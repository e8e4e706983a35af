"""`data prepare` says which protocols its data allow; `evaluate` and `train` then find just that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fusionrec.errors import DataError
from training.cli import app
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named
from training.train import Prepared

DAY = 86_400
CASES: dict[str, tuple[dict[str, list[float]], dict[str, str]]] = {
    # users and the days of their purchases (negative: of removals), windows of ten days each → protocol → window that
    # lacks users
    "all": ({"anna": [0, 85, 99], "ben": [1, 50, 100]}, {"temporal": "", "leave-one-out": ""}),
    "nobody in validation": (
        {"anna": [0, 40, 99], "ben": [1, 50, 100]},
        {"temporal": "validation", "leave-one-out": ""},
    ),
    "short histories": ({"anna": [0, 85], "ben": [95, 100]}, {"temporal": "", "leave-one-out": "validation"}),
    "one moment": ({"anna": [0], "ben": [0]}, {"temporal": "validation", "leave-one-out": "validation"}),
    "removals in the test": (
        {"anna": [0, 50, 85, -99], "ben": [1, 50, 86, -100]},
        {"temporal": "test", "leave-one-out": ""},
    ),
    "removals shorten histories": (
        {"anna": [0, 85, -86], "ben": [95, -96, 100]},
        {"temporal": "", "leave-one-out": "validation"},
    ),
    "removals in validation": (
        {"anna": [0, 20, -85, 99], "ben": [1, 21, -86, 100]},
        {"temporal": "validation", "leave-one-out": ""},
    ),
    "one of two only removed": (
        {"anna": [0, 20, 85, 99], "ben": [1, 21, -86, -100]},
        {"temporal": "", "leave-one-out": ""},
    ),
    "a single user": ({"anna": [0, 50, 85, 100]}, {"temporal": "", "leave-one-out": ""}),
}


def events_of(folder: Path, days: dict[str, list[float]]) -> Path:
    lines = [
        f"{user},i{n % 3},{'removal' if day < 0 else 'purchase'},{1.7e9 + abs(day) * DAY:.0f}"
        for user, own in days.items()
        for n, day in enumerate(own)
    ]
    path = folder / "events.csv"
    path.write_text("\n".join(["userId,itemId,eventType,sentAt", *lines]) + "\n")
    return path


@pytest.mark.parametrize("case", CASES)
def test_the_report_and_the_split_agree(tmp_path: Path, case: str) -> None:
    days, expected = CASES[case]
    inputs = Inputs(home=tmp_path / "home", events=events_of(tmp_path, days))
    dataset, _ = prepare(source_named("csv"), inputs, "shop", Options(), lambda _: None)
    told = json.loads((dataset.folder / "report.json").read_text())["protocols"]
    assert list(told) == ["temporal", "leave-one-out"]
    prepared = Prepared.read(dataset)
    for protocol, window in expected.items():
        refused = told[protocol]["refused"]
        assert refused.startswith(f"no requests ({window}): ") if window else refused == ""
        if window:
            with pytest.raises(DataError) as error:
                prepared.split(protocol)
            assert str(error.value) == refused
        else:
            cut = prepared.split(protocol)
            assert told[protocol]["n_users"]["validation"] == len(cut.validation.users)
            assert told[protocol]["n_users"]["test"] == len(cut.test.users)


def test_a_window_to_learn_from_that_cleaning_emptied(tmp_path: Path) -> None:
    """The first purchase is an outlier; so all that is left is of the two windows."""
    lines = ["anna,i0,purchase,1700000000,1000"]
    lines += [f"{user},i{day % 3},purchase,{1.7e9 + day * DAY:.0f},1" for user in ("anna", "ben") for day in (82, 99)]
    path = tmp_path / "events.csv"
    path.write_text("\n".join(["userId,itemId,eventType,sentAt,eventValue", *lines]) + "\n")
    inputs = Inputs(home=tmp_path / "home", events=path)
    dataset, _ = prepare(source_named("csv"), inputs, "shop", Options(), lambda _: None)
    told = json.loads((dataset.folder / "report.json").read_text())["protocols"]["temporal"]
    assert told["n_users"] == {"train": 0, "validation": 2, "test": 2}
    with pytest.raises(DataError, match=r"^nothing to learn from \(train\): .*--test-days") as refused:
        Prepared.read(dataset).split("temporal")
    assert str(refused.value) == told["refused"]


def prepared_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: dict[str, list[float]]) -> str:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    asked = ["data", "prepare", "--source", "csv", "--events", str(events_of(tmp_path, days)), "--name", "shop"]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_data_that_cannot_be_split_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = prepared_by_command(tmp_path, monkeypatch, CASES["one moment"][0])
    (caution,) = [line for line in said.splitlines() if line.startswith("caution: ")]
    assert caution.startswith("caution: `fusionrec train` will refuse these data (temporal): no requests (validation)")
    assert "--test-days" in caution
    assert "not possible: no requests (validation): it takes users with three interactions" in " ".join(said.split())
    report = (tmp_path / "home" / "shop" / "report.md").read_text()
    assert "| evaluation, temporal | not possible: no requests (validation)" in report


def test_few_users_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = prepared_by_command(tmp_path, monkeypatch, CASES["all"][0])
    assert "caution" not in said
    assert "2 users to judge on; fewer than 30 say little" in said
    many = {f"u{n}": [0, 85, 99 + n % 2] for n in range(30)}
    said = prepared_by_command(tmp_path, monkeypatch, many)
    assert "30 users to judge on " in said


def test_data_without_times_have_one_protocol(tmp_path: Path) -> None:
    (tmp_path / "toys.txt").write_text("".join(f"{n} 1 2 3\n" for n in range(40)))
    inputs = Inputs(home=tmp_path / "home", path=tmp_path / "toys.txt")
    dataset, _ = prepare(source_named("amazon-sequences"), inputs, "toys", Options(), lambda _: None)
    told: dict[str, Any] = json.loads((dataset.folder / "report.json").read_text())["protocols"]
    assert told == {"leave-one-out": {"n_users": {"validation": 40, "test": 40}, "refused": ""}}
