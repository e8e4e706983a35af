"""Data in which nobody can be asked for in a window: one line that says so, and nothing half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionrec.errors import DataError
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named
from training.search.prepared import search_of
from training.stages import Stages
from training.train import Prepared, judge

DAY = 86_400


def prepared(home: Path, days: dict[str, list[float]]) -> Prepared:
    """Users and the days of their purchases; the windows are ten days each."""
    lines = [
        f"{user},i{n % 3},purchase,{1.7e9 + day * DAY:.0f}" for user, own in days.items() for n, day in enumerate(own)
    ]
    (home / "events.csv").write_text("\n".join(["userId,itemId,eventType,sentAt", *lines]) + "\n")
    inputs = Inputs(home=home, events=home / "events.csv")
    return Prepared.read(prepare(source_named("csv"), inputs, "toy", Options(), lambda _: None)[0])


def stages(folder: Path) -> Stages:
    return Stages(folder, lambda what, share: None)


def test_a_validation_window_in_which_nothing_happened(tmp_path: Path) -> None:
    data = prepared(tmp_path, {"anna": [0, 40, 99], "ben": [1, 50, 100]})
    with pytest.raises(DataError, match=r"no requests .validation.*--protocol leave-one-out") as refused:
        judge(data, stages(tmp_path / "work"), "temporal")
    assert refused.value.pointer == str(tmp_path / "toy")
    assert not (tmp_path / "work").exists()
    assert len(data.split("leave-one-out").test.users) == 2


def test_users_with_too_short_histories_to_leave_items_out(tmp_path: Path) -> None:
    data = prepared(tmp_path, {"anna": [0, 85], "ben": [95, 100]})
    with pytest.raises(DataError, match="three interactions"):
        data.split("leave-one-out")


def test_labels_from_earlier_positions_need_one_more(tmp_path: Path) -> None:
    data = prepared(
        tmp_path,
        {
            "anna": [
                0,
                50,
                85,
            ],
            "ben": [1, 95, 100],
        },
    )
    assert len(data.split("leave-one-out", "step-back").validation.users) == 2
    with pytest.raises(DataError, match=r"one step before validation.*four"):
        data.split("leave-one-out", "earlier")


def test_a_search_needs_a_user_to_choose_on_and_another_to_check_on(tmp_path: Path) -> None:
    data = prepared(tmp_path, {"anna": [0, 50, 85], "ben": [1, 95, 100]})
    with pytest.raises(DataError, match="a single validation user"):
        search_of(data, "ease", 10, 0)
