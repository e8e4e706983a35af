"""Without dropout and draws two processes learn what one does: each has its share of every batch, and none is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from training.loop import LoopConfig
from training.models.attention import Attention, AttentionConfig
from training.shop import NOW_MS, two_taste_shop

ROOT = Path(__file__).parents[3]
CONFIG = AttentionConfig(dim=16, n_layers=1, max_length=8, dropout=0.0, loop=LoopConfig(n_epochs=3))


def learnt() -> dict[str, torch.Tensor]:
    """Histories of unlike lengths, so that the shares of a batch weigh unlike."""
    data = two_taste_shop().interactions
    n_kept = np.random.default_rng(0).integers(2, np.diff(data.offsets) + 1)
    return Attention(data.n_items, CONFIG).fit(data.prefix(data.offsets[:-1] + n_kept), NOW_MS).state_dict()


PROGRAM = f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_two_processes import learnt
from training import distributed
distributed.run(lambda: torch.save((distributed.n_processes(), learnt()), sys.argv[1]))
"""


@pytest.mark.network
def test_two_processes_end_with_the_weights_of_one(tmp_path: Path) -> None:
    script, saved = tmp_path / "lead.py", tmp_path / "learnt.pt"
    script.write_text(PROGRAM)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, str(script), str(saved)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    n_processes, together = torch.load(saved, weights_only=True)
    assert n_processes == 2
    alone, start = learnt(), Attention(two_taste_shop().interactions.n_items, CONFIG).state_dict()
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(
            together[name], value, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert any(not torch.equal(value, start[name]) for name, value in alone.items())
