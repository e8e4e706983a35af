"""The commands on a small prepared shop: seeds, devices, several processes, searches, and what a run leaves behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main

from training import cli
from training.commands.search import search
from training.commands.train import evaluate
from training.data.dataset import Dataset

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


def copied(dataset: Dataset, folder: Path) -> Path:
    """The data set alone, without what was made of it."""
    return Path(shutil.copytree(dataset.folder, folder / "walkers", ignore=shutil.ignore_patterns("work", "runs")))


def results(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "evaluation").glob("*.json")
    return json.loads(path.read_text())


def the_run(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "runs").glob("*/run.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def evaluated(walkers: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copied(walkers, tmp_path_factory.mktemp("once"))
    evaluate(data=str(folder), device="cpu")
    return folder


def test_two_runs_agree_to_the_last_digit(walkers: Dataset, evaluated: Path, tmp_path: Path) -> None:
    again = copied(walkers, tmp_path)
    evaluate(data=str(again), device="cpu")
    assert results(again)["models"] == results(evaluated)["models"]
    assert the_run(again)["curves"] == the_run(evaluated)["curves"]
    assert len(the_run(again)["curves"]["attention/loss"]) > 10


def test_another_seed_trains_anew_and_agrees_with_itself(
    walkers: Dataset, evaluated: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    once, again = (copied(walkers, tmp_path_factory.mktemp("seed")) for _ in range(2))
    for folder in (once, again):
        evaluate(data=str(folder), device="cpu", seed=4)
    found, plain = results(once)["models"], results(evaluated)["models"]
    assert found == results(again)["models"]
    assert the_run(once)["curves"] == the_run(again)["curves"] != the_run(evaluated)["curves"]
    assert found["attention"] != plain["attention"]


def test_a_run_tells_what_it_was(evaluated: Path) -> None:
    run = the_run(evaluated)
    assert run["status"] == "done"
    assert run["command"] == "evaluate"
    assert run["data_hash"] == results(evaluated)["data_hash"]
    mean = results(evaluated)["models"]["fusion"]["ndcg@10"]["mean"]
    assert run["metrics"]["fusion/ndcg@10"] == pytest.approx(mean, abs=1e-5)
    assert run["parameters"]["recipe"]["attention"]["loop"]["n_epochs"] >= 1
    assert list((evaluated / "runs").glob("*/events.out.tfevents.*"))


@pytest.mark.network
def test_two_processes_give_the_same_metrics_within_noise(walkers: Dataset, evaluated: Path, tmp_path: Path) -> None:
    """Dropout differs between the two; all that is learnt in closed form is the same to the last digit."""
    folder = copied(walkers, tmp_path)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training"]
    done = subprocess.run(
        [sys.executable, *launch, "evaluate", "--data", str(folder), "--device", "cpu"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written:") == 2, "the leading process alone writes"
    ours, theirs = (results(where)["models"] for where in (folder, evaluated))
    assert ours["ease"] == theirs["ease"]
    assert len(the_run(folder)["curves"]["attention/loss"]) == len(the_run(evaluated)["curves"]["attention/loss"])
    for model in ("attention", "fusion"):
        assert ours[model]["ndcg@10"]["mean"] == pytest.approx(theirs[model]["ndcg@10"]["mean"], abs=0.08), model


def test_a_search_keeps_its_evidence_and_goes_on(walkers: Dataset, tmp_path: Path) -> None:
    folder = copied(walkers, tmp_path)
    search("ease", data=str(folder), minutes=0.03, users=30, device="cpu")
    first = json.loads((folder / "search" / "best-ease.json").read_text())
    assert first["data_hash"] == walkers.data_hash
    assert first["checked_on"]["n_users"] == 30
    search("ease", data=str(folder), minutes=0.03, users=30, device="cpu")
    second = json.loads(max((folder / "search").glob("*.json"), key=lambda path: path.stat().st_mtime).read_text())
    assert second["n_trials"]["finished"] > first["n_trials"]["finished"] >= 1
    assert second["chosen_on"]["best"] >= first["chosen_on"]["best"]


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["fusionrec", *arguments])
    with pytest.raises(SystemExit) as exited:
        cli.main()
    return int(exited.value.code or 0)


@pytest.mark.parametrize("command", ["train", "evaluate", "search --part ease"])
def test_cuda_without_a_gpu_ends_in_one_line(
    command: str, walkers: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert run_cli(monkeypatch, *command.split(), "--data", str(walkers.folder), "--device", "cuda") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --device: cuda cannot be used: ")
    assert "--device cpu" in error
    assert len(error.splitlines()) == 1


def test_a_search_under_torchrun_is_refused(
    walkers: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.distributed.launched", lambda: True)
    assert run_cli(monkeypatch, "search", "--part", "ease", "--data", str(walkers.folder)) == 2
    assert "start the command several times" in capsys.readouterr().err


PAGE = (ROOT / "docs" / "training.md").read_text()
COMMANDS = re.findall(r"^fusionrec .*$", "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)), re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_page_are_understood(line: str) -> None:
    """Every option exists and takes the value; what the commands do is tested above and beside this file."""
    name, *arguments = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(cli.app).commands[name]  # type: ignore[attr-defined]
    command.make_context(name, arguments)


def test_the_page_has_commands() -> None:
    assert {line.split()[1] for line in COMMANDS} >= {"train", "evaluate", "search", "score"}
