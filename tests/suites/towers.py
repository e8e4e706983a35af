"""Small towers and the moments that they learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from fusionrec.feature_spec import EVENT_CODES
from training.interactions import Interactions
from training.loop import LoopConfig
from training.models.moments import MomentBatch, Moments, MomentsConfig
from training.models.two_tower import TwoTower, TwoTowerConfig
from training.shop import NOW_MS

SMALL = TwoTowerConfig(
    dim=8,
    n_attributes=4,
    dropout=0.0,
    loop=LoopConfig(n_epochs=80, learning_rate=2e-2),
    moments=MomentsConfig(batch_size=16, n_negatives=32, n_targets=3, max_history=6),
)
PURCHASE = EVENT_CODES["purchase"]


def learner(data: Interactions) -> TwoTower:
    """An unfitted model with the draw's probabilities and towers of visible size."""
    model = TwoTower(10, replace(SMALL, moments=replace(SMALL.moments, n_negatives=5)))
    made = Moments(data, MomentsConfig(n_negatives=5))
    model.log_drawn = torch.from_numpy(np.log(np.maximum(5 * made.probabilities, 1e-9))).float()
    with torch.no_grad():
        model.items.own.weight.mul_(20.0)
        model.bias.copy_(torch.linspace(-1.0, 1.0, 11))
    return model.eval()


def moments(data: Interactions, n_negatives: int = 5) -> MomentBatch:
    return next(Moments(data, MomentsConfig(batch_size=20, n_negatives=n_negatives)).batches(0))


def in_turn(n: int, users: int = 1) -> Interactions:
    """Each user has items 1..n, one a day."""
    return Interactions(
        n_items=10,
        offsets=np.arange(users + 1) * n,
        items=np.tile(np.arange(1, n + 1), users),
        events=np.full(n * users, PURCHASE),
        sent_at=NOW_MS + np.tile(np.arange(n), users) * 86_400_000,
        sessions=np.tile(np.arange(n), users),
    )
