"""Weights & Biases off-line: its files lie in the run's folder, to be sent later by `wandb sync`."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

wandb = pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
internal = pytest.importorskip("wandb.proto.wandb_internal_pb2")
pytestmark = [pytest.mark.network, pytest.mark.slow]

PROGRAM = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from training.data.dataset import Cutoffs, Dataset
from training.tracking import tracked

moment = datetime(2026, 1, 1, tzinfo=UTC)
dataset = Dataset(Path(sys.argv[1]), "toy", "csv", True, "", Cutoffs(moment, moment, moment), {}, "5eed", {})
with tracked("train", dataset, {"device": "cpu"}) as run:
    for step in range(3):
        run.record("attention/loss", 2.0 - step, step)
    run.conclude({"fusion": {"ndcg@10": 0.25}}, key="k1")
"""


def test_a_run_is_kept_for_later(tmp_path: Path) -> None:
    """Read back from its file: curves, the metrics it ended with, and its parameters."""
    env = {"WANDB_MODE": "offline", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=env, cwd=Path(__file__).parents[3],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    (path,) = tmp_path.glob("runs/*/wandb/offline-run-*/run-*.wandb")
    history, summary, config = read(path)
    assert [(row["step"], row["attention/loss"]) for row in history] == [(0, 2.0), (1, 1.0), (2, 0.0)]
    assert summary["fusion/ndcg@10"] == 0.25
    assert summary["status"] == "done"
    assert config["data_hash"] == "5eed"
    assert config["parameters"] == {"device": "cpu", "key": "k1"}


def read(path: Path) -> tuple[list[dict], dict, dict]:
    """History rows, summary and config of a `.wandb` file."""
    history, summary, config = [], {}, {}
    for data in log_records(path.read_bytes()):
        record = internal.Record()
        record.ParseFromString(data)
        history += [items(record.history.item)] if record.HasField("history") else []
        summary |= items(record.summary.update)
        config |= items(record.config.update) | items(record.run.config.update)
    return history, summary, config


def log_records(data: bytes) -> Iterator[bytes]:
    """A LevelDB log: blocks of 32 KiB; checksum, length and kind (whole, first, middle, last) of each piece."""
    place, pieces = 7, b""  # after the file's own header
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        pieces += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:
            yield pieces
            pieces = b""


def items(update: object) -> dict:
    return {each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in update}
