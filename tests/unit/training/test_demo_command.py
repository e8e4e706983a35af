"""`fusionrec demo`: its steps, and what it refuses before them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusionrec.errors import DataError
from tests.suites.small_shop import prepared_shop
from training.cli import app
from training.commands import serve

STEP = """#!/bin/sh
cd "{folder}"
sleep 30 &
trap "sleep 1; kill $!; touch tidied; exit 130" INT
echo $$ > started
wait
"""


def test_an_interrupted_step_has_time_to_tidy_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C goes to the command and to its step alike."""
    script = tmp_path / "step"
    script.write_text(STEP.format(folder=tmp_path))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))

    def press() -> None:
        started, deadline = tmp_path / "started", time.monotonic() + 30
        while not started.exists() or not started.read_text():
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        os.kill(int(started.read_text()), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        serve.run_step(["data", "prepare"], {**os.environ})
    assert (tmp_path / "tidied").exists()


class Steps:
    """Stands for the command's steps; `data prepare` makes a data set of the users u0 to u4."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.taken: list[str] = []

    def __call__(self, arguments: list[str], _: dict[str, str]) -> None:
        self.taken.append(" ".join(arguments[:2]))
        if arguments[:2] == ["data", "prepare"]:
            prepared_shop(self.home, "movielens-100k")


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    home = tmp_path / "home"
    monkeypatch.setenv("FUSIONREC_HOME", str(home))
    taken = Steps(home)
    monkeypatch.setattr(serve, "run_step", taken)
    return taken


def demo(*words: str) -> None:
    CliRunner().invoke(app, ["demo", "--data", "movielens-100k", *words], catch_exceptions=False)


def test_nobody_is_refused_once_the_data_are_there_and_before_any_training(steps: Steps) -> None:
    with pytest.raises(DataError, match=r"'NOBODY' is no user of movielens-100k; .* such as u") as refused:
        demo("--user", "NOBODY")
    assert refused.value.pointer == "--user"
    assert steps.taken == ["data prepare"]


def test_nobody_is_refused_at_once_where_data_are_there(steps: Steps) -> None:
    prepared_shop(steps.home, "movielens-100k")
    with pytest.raises(DataError, match="is no user"):
        demo("--user", "u")
    assert steps.taken == []


def test_a_user_of_the_data_goes_through_every_step(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.subprocess, "run", lambda *_, **__: type("Done", (), {"returncode": 0}))
    demo("--user", "u3")
    assert steps.taken == ["data prepare", "features sync", "train"]
