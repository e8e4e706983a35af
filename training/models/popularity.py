"""Popularity that fades with time, and what a shopper buys again.

score = log( popularity(i) + Σ_l [newest occurrence of i] · repeat(i) · count-and-age evidence ).

The repeat term is a logistic regression on the history's own numbers: how often the user had the item, how long ago,
and how that age compares with the user's usual interval for it. It is fitted at earlier cut-offs inside the training
data against what happened in the weeks after them, so both terms are probabilities and may be added.

source: repeat-consumption features as in Bhagat et al. 2018, "Buy It Again", KDD, sec. 4
limits: sees at most the history that it is given; a user without history gets plain popularity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from fusionrec.feature_spec import DAY_MS
from training.interactions import Interactions
from training.models.protocol import Part, Progress, newest_occurrence, silent


@dataclass(frozen=True, slots=True)
class PopularityConfig:
    half_life_days: float = 30.0
    smoothing: float = 0.1  # interactions added to every item, so that none has probability 0
    horizon_days: float = 28.0  # a repeat counts when it comes within this time
    event_weights: tuple[float, ...] = (0.0, 0.2, 0.3, 0.6, 1.0, 0.8, 0.0)  # by event code


class Popularity(Part):
    """Buffers: log_popularity, repeat_logit float32 (n_items + 1,); coefficients float32 (4,) and bias (1,)."""

    name: ClassVar[str] = "popularity"
    log_popularity: Tensor
    repeat_logit: Tensor
    coefficients: Tensor
    new_share: Tensor
    event_weights: Tensor

    def __init__(self, n_items: int, config: PopularityConfig | None = None) -> None:
        super().__init__()
        self.n_items = n_items
        self.config = config or PopularityConfig()
        self.register_buffer("log_popularity", torch.zeros(n_items + 1))
        self.register_buffer("repeat_logit", torch.zeros(n_items + 1))
        self.register_buffer("coefficients", torch.zeros(5))
        self.register_buffer("event_weights", torch.tensor(self.config.event_weights))

    def fit(self, data: Interactions, now_ms: int, progress: Progress = silent) -> Self:
        age_days = (now_ms - data.sent_at) / DAY_MS
        weight = np.exp2(-age_days / self.config.half_life_days) * np.array(self.config.event_weights)[data.events]
        counts = np.bincount(data.items, weight, self.n_items + 1)[: self.n_items + 1] + self.config.smoothing
        counts[0] = 1.0
        self.log_popularity = torch.from_numpy(np.log(counts / counts[1:].sum())).float()
        self.log_popularity[0] = 0.0
        progress(1.0)
        return self

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        newest = newest_occurrence(history_items)
        evidence = repeat_evidence(history_items, history_age_days)  # (B, L, 4)
        logit = self.coefficients[0] + evidence @ self.coefficients[1:] + self.repeat_logit[history_items]
        bonus = newest * nn_softplus(logit)
        scores = self.log_popularity.expand(history_items.shape[0], -1)
        return scores.scatter_add(1, history_items, bonus)


def nn_softplus(x: Tensor) -> Tensor:
    """log(1 + exp x), which is 0 for items that will not be bought again."""
    return torch.nn.functional.softplus(x)


def repeat_evidence(items: Tensor, age_days: Tensor) -> Tensor:
    """float32 (B, L, 4): for each position, what the whole history says of its item.

    log count, log age of the newest, log of that age over the mean interval, whether it was had only once.
    """
    same = (items[:, :, None] == items[:, None, :]).float()  # (B, L, L)
    count = same.sum(dim=2)
    newest = (age_days[:, None, :] + 1e9 * (1.0 - same)).amin(dim=2)
    oldest = (age_days[:, None, :] * same).amax(dim=2)
    once = (count < 1.5).float()
    interval = (oldest - newest + 1.0) / torch.clamp(count - 1.0, min=1.0)
    relative = torch.log((newest + 1.0) / (interval + 1.0)) * (1.0 - once)
    return torch.stack([torch.log(count), torch.log1p(newest), relative, once], dim=2)
