"""Trains a small attention model in a process of its own: `toy_training.py OUT [CHECKPOINT]`; tells each step."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from training import distributed
from training.interactions import Requests
from training.loop import LoopConfig
from training.models.attention import Attention, AttentionConfig
from training.models.protocol import Run
from training.models.windows import WindowsConfig
from training.shop import NOW_MS, two_taste_shop


def lead() -> None:
    out, checkpoint = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    config = AttentionConfig(
        dim=16,
        n_layers=1,
        max_length=8,
        dropout=0.0 if distributed.launched() or checkpoint is None else 0.2,
        loop=LoopConfig(n_epochs=6, learning_rate=5e-3, seed=1),
        windows=WindowsConfig(batch_size=9),  # does not divide the users: the last batch is smaller
    )
    shop = two_taste_shop(users=46, items=14)
    run = Run(progress=lambda share: print(f"{share:.4f}", flush=True), checkpoint=checkpoint)
    part = Attention(14, config).fit(shop.interactions, NOW_MS, run)
    users = np.arange(shop.interactions.n_users)
    ends = shop.interactions.offsets[1:]
    inputs = Requests(users, ends, ends, np.full(len(users), NOW_MS)).inputs(shop.interactions, users)
    torch.save({"weights": part.state_dict(), "scores": torch.from_numpy(part.score(inputs))}, out)


if __name__ == "__main__":
    if distributed.launched():
        distributed.run(lead)
    else:
        lead()
