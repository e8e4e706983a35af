"""Training in processes of its own: killed and continued, and shared by two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("toy_training.py")
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
pytestmark = [pytest.mark.network, pytest.mark.slow]


def finish(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=ENV, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def killed_after(share: float, *arguments: str) -> None:
    """SIGKILL at the first step that lies beyond this share of the training."""
    with subprocess.Popen([sys.executable, *arguments], env=ENV, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if float(line) > share:
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_a_killed_training_continues_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Killed within the fourth of six epochs; dropout, learning rate and Adam's moments have to go on as they were."""
    finish(str(PROGRAM), str(tmp_path / "unbroken"), str(tmp_path / "one"))
    killed_after(0.55, str(PROGRAM), str(tmp_path / "resumed"), str(tmp_path / "two"))
    assert not (tmp_path / "resumed").exists()
    steps = finish(str(PROGRAM), str(tmp_path / "resumed"), str(tmp_path / "two")).splitlines()
    assert 0.5 < float(steps[0]) < 0.6, "the killed epoch is done again, the ones before are not"
    unbroken, resumed = (torch.load(tmp_path / name)["weights"] for name in ("unbroken", "resumed"))
    for name, tensor in unbroken.items():
        assert torch.equal(tensor, resumed[name]), name


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Each computes the gradient of its share of every batch; weighted by share, their sum is that of the whole."""
    finish(str(PROGRAM), str(tmp_path / "alone"))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    steps = finish(*launch, str(PROGRAM), str(tmp_path / "together")).splitlines()
    assert len(steps) == 36, "only the leading process tells and writes"
    alone, together = (torch.load(tmp_path / name)["scores"] for name in ("alone", "together"))
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)
