"""A run leaves run.json and event files whatever becomes of it, and no tracker can take the training with it."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fusionrec.errors import DataError
from training.data.dataset import Cutoffs, Dataset
from training.models.ease import EaseConfig
from training.tracking import tracked, wandb_is_configured


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Dataset(tmp_path, "toy", "csv", True, "", Cutoffs(moment, moment, moment), {}, "5eed" * 16, {})


def run_file(dataset: Dataset) -> dict:
    (path,) = (dataset.folder / "runs").glob("*/run.json")
    return json.loads(path.read_text())


def test_a_run_is_recorded_with_all_that_it_depends_on(dataset: Dataset) -> None:
    with tracked("train", dataset, {"device": "cpu"}, env={}) as run:
        run.begin()
        assert run_file(dataset)["status"] == "running"
        for step in range(3):
            run.record("attention/loss", 2.0 - step, step)
        run.conclude({"fusion": {"ndcg@10": 0.25}}, recipe=EaseConfig(l2=7.0))
    found = run_file(dataset)
    assert found["status"] == "done"
    assert found["data_hash"] == "5eed" * 16
    assert found["parameters"]["device"] == "cpu"
    assert found["parameters"]["recipe"]["l2"] == 7.0
    assert found["parameters"]["recipe"]["fading"]["half_life_days"] == 60.0
    assert found["metrics"] == {"fusion/ndcg@10": 0.25}
    assert found["curves"] == {"attention/loss": [[0, 2.0], [1, 1.0], [2, 0.0]]}
    assert found["run_id"] == run.folder.name
    assert len(found["commit"]) >= 40
    assert found["started_at"] <= found["ended_at"]
    assert not list(run.folder.glob("*.part"))


def test_tensorboard_reads_curves_metrics_and_facts(dataset: Dataset) -> None:
    with tracked("train", dataset, {"device": "cpu"}, env={}) as run:
        run.record("attention/loss", 2.5, 7)
        run.conclude({"fusion": {"ndcg@10": 0.25}})
    events = EventAccumulator(str(run.folder)).Reload()
    assert [(point.step, point.value) for point in events.Scalars("attention/loss")] == [(7, 2.5)]
    assert [point.value for point in events.Scalars("metrics/fusion/ndcg@10")] == [0.25]
    text = events.Tensors("run/text_summary")[0].tensor_proto.string_val[0].decode()
    assert run.folder.name in text
    assert '"status": "done"' in text


@pytest.mark.parametrize(("error", "status"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_an_error_goes_on_its_way_and_is_recorded(dataset: Dataset, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), tracked("train", dataset, {}, env={}) as run:
        run.record("loss", 1.0, 1)
        raise error
    found = run_file(dataset)
    assert found["status"] == status
    assert found["curves"] == {"loss": [[1, 1.0]]}


def test_a_run_that_is_told_to_end_is_recorded_as_interrupted(dataset: Dataset) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, tracked("train", dataset, {}, env={}) as run:
        run.begin()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert ended.value.code == 128 + signal.SIGTERM
    assert run_file(dataset)["status"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_tracker_that_cannot_start_costs_one_line(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights & Biases is asked for and is not installed: the import fails, all else is recorded."""
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with tracked("train", dataset, {}, env={"WANDB_MODE": "offline"}) as run:
        run.record("loss", 1.0, 1)
        run.record("loss", 0.5, 2)
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: Weights & Biases does not record this run")
    assert run_file(dataset)["curves"] == {"loss": [[1, 1.0], [2, 0.5]]}
    assert EventAccumulator(str(run.folder)).Reload().Scalars("loss")[1].value == 0.5


@pytest.mark.parametrize(
    ("env", "configured"),
    [
        ({}, False),
        ({"WANDB_MODE": "offline"}, True),
        ({"WANDB_API_KEY": "k"}, True),
        ({"WANDB_API_KEY": ""}, False),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "disabled"}, False),
        ({"WANDB_MODE": "online"}, False),
    ],
)
def test_weights_and_biases_is_used_only_when_configured(env: dict[str, str], configured: bool) -> None:
    assert wandb_is_configured(env) is configured


def test_a_tracker_that_fails_on_the_way_says_so_once(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("training.tracking.TensorBoard.record", full)
    with tracked("train", dataset, {}, env={}) as run:
        for step in range(3):
            run.record("loss", 1.0, step)
    assert capsys.readouterr().err.count("warning: TensorBoard does not record this run any further") == 1
    assert run_file(dataset)["curves"] == {"loss": [[0, 1.0], [1, 1.0], [2, 1.0]]}


def test_what_is_known_at_the_end_does_not_change_what_the_caller_gave(dataset: Dataset) -> None:
    given = {"device": "cpu"}
    with tracked("train", dataset, given, env={}) as run:
        run.conclude({}, key="abc")
    assert given == {"device": "cpu"}
    assert run_file(dataset)["parameters"] == {"device": "cpu", "key": "abc"}


def test_what_is_refused_before_any_work_leaves_nothing(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does Weights & Biases hear of it: what it was told cannot be taken back."""
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(DataError), tracked("train", dataset, {}, env={"WANDB_MODE": "offline"}):
        raise DataError("nobody can be asked for")
    assert list(dataset.folder.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_the_first_stage_begins_the_run(dataset: Dataset) -> None:
    heard = []
    with pytest.raises(DataError), tracked("train", dataset, {}, env={}) as run:
        report = run.hearing(lambda what, share: heard.append((what, share)))
        assert not (dataset.folder / "runs").exists()
        report("ease", 0.0)
        assert run_file(dataset)["status"] == "running"
        raise DataError("a table is damaged")
    assert heard == [("ease", 0.0)]
    assert run_file(dataset)["status"] == "failed"
