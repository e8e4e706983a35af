"""Two towers and a bilinear form between them: ŷ = σ(uᵀ W v + b), u a user in a situation, v an item.

    v = own vector + M · attributes (words and attributes by truncated SVD)             [deep: v + MLP(v)]
    u = norm(Σ_h a_h v_h / Σ_h a_h) + N · situation                                       [deep: u + MLP(u)]
    a_h = exp(fade(places back) + kind(event) - rate · log(1 + age in days)), all learnt
    situation: length of the history, time since the last event, shares of the event types

The loss is the log loss, weighted by the event's worth, against negatives drawn by popularity. Subtracting
log(expected number of draws) from every logit while learning corrects for that draw: the scores estimate log P(item |
user), not the ratio to popularity. With feedback, a label takes the place of the event's worth, and items that were on
display and not touched count as negatives, each by how likely it was examined. At export the items' tower is a table,
so that a request costs one average and one product with it.

source: Huang et al. 2013, DSSM, CIKM; Covington, Adams & Sargin 2016, "Deep Neural Networks for YouTube
        Recommendations", RecSys; correction: Yi et al. 2019, "Sampling-Bias-Corrected Neural Modeling", RecSys; as an
        estimate of log P: Gutmann & Hyvärinen 2010, "Noise-contrastive estimation", AISTATS
limits: the newest `max_history` events, whose order counts by the fading alone; every item has a vector, so a step
        costs time in proportion to the catalogue beyond some 100,000 items.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

import numpy as np
import torch
from torch import Tensor, nn

from fusionrec.feature_spec import EVENT_CODES
from training.interactions import Interactions
from training.loop import LoopConfig, Task, train
from training.models.ease import seen_matrix
from training.models.factors import content_factors, start_from_factors
from training.models.moments import MomentBatch, Moments, MomentsConfig, share
from training.models.protocol import QUIET, Run
from training.models.stopping import stopping
from training.models.vectors import VectorPart

_N_TYPES: Final = len(EVENT_CODES) + 1
_N_SITUATION: Final = 3 + _N_TYPES


@dataclass(frozen=True, slots=True)
class TwoTowerConfig:
    dim: int = 64
    n_attributes: int = 64  # factors of the catalogue's words and attributes; 0: ids alone
    deep: bool = False  # a two-layer network in each tower
    dropout: float = 0.2
    event_weights: tuple[float, ...] = (0.0, 0.3, 0.5, 0.8, 1.0, 1.0, 0.0)  # of the target, by event code
    refusal: float = 0.3  # of an item that was on display, surely examined and not touched; needs feedback
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(n_epochs=6, learning_rate=4e-3))
    moments: MomentsConfig = field(default_factory=MomentsConfig)


class TwoTower(VectorPart):
    """`vectors`: the items' tower, one row an item."""

    name: ClassVar[str] = "two_tower"
    items: ItemTower  # while it learns
    log_drawn: Tensor
    event_weights: Tensor

    def __init__(self, n_items: int, config: TwoTowerConfig | None = None) -> None:
        self.config = config or TwoTowerConfig()
        super().__init__(n_items, self.config.dim)
        self.register_buffer("log_drawn", torch.zeros(n_items + 1), persistent=False)
        self.register_buffer("event_weights", torch.tensor(self.config.event_weights), persistent=False)
        self.start(torch.zeros(n_items + 1, 0))

    def start(self, attributes: Tensor) -> None:
        """Towers from the seed. attributes: float32 (n_items + 1, A)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.loop.seed)
            self.items = ItemTower(self.n_items, self.config, attributes)
            self.users = UserTower(self.config)
            self.form = nn.Parameter(torch.eye(self.config.dim))  # W
        self.bias = nn.Parameter(torch.zeros(self.n_items + 1))

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        config = self.config
        data, validate = stopping(self, data, config.loop)
        attributes = torch.zeros(self.n_items + 1, 0)
        if config.n_attributes and data.content is not None:
            attributes = content_factors(data.content, config.n_attributes)
        self.start(attributes)
        moments = Moments(data, config.moments)
        shares = np.bincount(data.items, minlength=self.n_items + 1) + 0.1
        expected = np.maximum(moments.probabilities * config.moments.n_negatives, 1e-9)
        self.log_drawn = torch.from_numpy(np.log(expected)).float()
        with torch.no_grad():  # from popularity and from who had what
            self.bias.copy_(torch.from_numpy(np.log(shares / shares.sum())))
            start_from_factors(self.items.own.weight[1:], seen_matrix(data)[:, 1:])
        if moments.n_batches:
            train(self, Task(moments.batches, moments.n_batches, self.loss, validate, share), config.loop, run)
        self.settle()
        return self

    def table(self) -> Tensor:
        """Vectors of all items, float32 (n_items + 1, D); while it learns, those of the tower as it is now."""
        if not hasattr(self, "items"):
            return self.vectors
        vectors: Tensor = self.items(torch.arange(self.n_items + 1, device=self.bias.device))
        return vectors

    @torch.no_grad()
    def settle(self) -> None:
        """Keep the items' tower as a table, and forget how it was made."""
        self.items.eval()
        self.vectors = self.table()
        self.vectors[0] = 0.0
        self.bias[0] = 0.0
        del self.items

    def loss(self, batch: MomentBatch) -> Tensor:
        """Weighted log loss of the targets against the negatives, a mean over the moments."""
        history, targets, others = (self.items(each) for each in (batch.items, batch.targets, batch.negatives))
        query = self.users(history, batch.items, batch.events, batch.age_days) @ self.form
        bias = self.bias - self.log_drawn
        wanted = (query * targets).sum(dim=1) + bias[batch.targets]
        unwanted = query @ others.T + bias[batch.negatives]  # (B, K)
        against = nn.functional.softplus(unwanted).sum(dim=1)  # with the target if drawn: else its score is too high
        weights = self.event_weights[batch.target_events]
        if batch.worth is None or batch.refused is None or batch.refused_weights is None:
            return (weights * (nn.functional.softplus(-wanted) + against)).mean()
        weights = torch.where(batch.worth.isnan(), weights, batch.worth)
        refused = (query * self.items(batch.refused)).sum(dim=1) + bias[batch.refused]
        pushed = self.config.refusal * batch.refused_weights * nn.functional.softplus(refused)
        loss: Tensor = (weights * (nn.functional.softplus(-wanted) + against) + pushed).mean()
        return loss

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        width = self.config.moments.max_history
        newest = [
            nn.functional.pad(x, (width, 0)).narrow(1, x.shape[1], width)
            for x in (history_items, history_events, history_age_days)
        ]
        vectors = self.table()
        query = self.users(vectors[newest[0]], *newest) @ self.form
        return nn.functional.linear(query, vectors, self.bias)


class ItemTower(nn.Module):
    """An item's own vector and what its attributes add. attributes: float32 (n_items + 1, A)."""

    attributes: Tensor

    def __init__(self, n_items: int, config: TwoTowerConfig, attributes: Tensor) -> None:
        super().__init__()
        self.own = nn.Embedding(n_items + 1, config.dim)
        nn.init.normal_(self.own.weight, std=0.02)
        self.register_buffer("attributes", attributes, persistent=False)
        self.of_attributes = nn.Linear(attributes.shape[1], config.dim, bias=False) if attributes.shape[1] else None
        if self.of_attributes is not None:
            nn.init.normal_(self.of_attributes.weight, std=0.05)
        self.deep = mlp(config.dim) if config.deep else None

    def forward(self, items: Tensor) -> Tensor:
        """(...) -> (..., D)"""
        vectors: Tensor = self.own(items)
        if self.of_attributes is not None:
            vectors = vectors + self.of_attributes(self.attributes[items])
        return vectors if self.deep is None else vectors + self.deep(vectors)


class UserTower(nn.Module):
    """A user's profile from its history, and its situation."""

    def __init__(self, config: TwoTowerConfig) -> None:
        super().__init__()
        back = torch.arange(config.moments.max_history - 1, -1, -1)
        self.fade = nn.Parameter(-0.2 * back.float())  # (L,), oldest first
        self.kind = nn.Embedding(_N_TYPES, 1)
        nn.init.zeros_(self.kind.weight)
        self.rate = nn.Parameter(torch.tensor(0.0))
        self.norm = nn.LayerNorm(config.dim)
        self.of_situation = nn.Linear(_N_SITUATION, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.deep = mlp(config.dim) if config.deep else None

    def forward(self, vectors: Tensor, items: Tensor, events: Tensor, age_days: Tensor) -> Tensor:
        """vectors (B, L, D), items, events, age_days (B, L) -> (B, D); L is at most `max_history`."""
        real = (items > 0).float()
        fade = self.fade[len(self.fade) - items.shape[1] :]
        strength = fade + self.kind(events).squeeze(2) - self.rate * torch.log1p(age_days)
        shares = torch.softmax(strength + (real - 1.0) * 1e9, dim=1) * real  # (B, L), all 0 without a history
        average = torch.matmul(shares.unsqueeze(1), vectors).squeeze(1)
        users: Tensor = self.norm(average) + self.of_situation(situation(real, events, age_days))
        users = self.dropout(users)
        return users if self.deep is None else users + self.deep(users)


def situation(real: Tensor, events: Tensor, age_days: Tensor) -> Tensor:
    """float32 (B, _N_SITUATION): length of the history, none at all, time since the last event, shares of types."""
    length = real.sum(dim=1, keepdim=True)
    types = torch.arange(_N_TYPES, device=events.device)
    shares = ((events[:, :, None] == types) * real[:, :, None]).sum(dim=1) / torch.clamp(length, min=1.0)
    facts = [torch.log1p(length) / 4.0, (length == 0).float(), torch.log1p(age_days[:, -1:]) / 4.0]
    return torch.cat([*facts, shares], dim=1)


def mlp(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
