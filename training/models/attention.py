"""Attention over the behaviour sequence, trained with cross entropy over the whole catalogue.

A causal transformer reads the newest `max_length` events: item + event type + gap to the event before. Positions are
relative (a learnt bias for the distance), so a state means the same wherever it stands in a training window. To its
last state come a learnt fading average of the items themselves and an embedding of the time since the last event;
the sum is compared with every item.

source: Kang & McAuley 2018, arXiv:1808.09781 (model); Klenitskiy & Vasilev 2023, arXiv:2309.07602 (full softmax)
limits: learns the `max_items` most frequent items; the others get the lowest of these scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fusionrec.feature_spec import EVENT_CODES
from training.interactions import Interactions
from training.loop import LoopConfig, Task, train
from training.models.ease import frequent_items, seen_matrix
from training.models.factors import start_from_factors
from training.models.protocol import QUIET, Part, Run
from training.models.softmax import catalogue_logsumexp
from training.models.windows import WindowBatch, Windows, WindowsConfig, share

N_GAPS: Final = 20  # log2 buckets of minutes: up to a year


@dataclass(frozen=True, slots=True)
class AttentionConfig:
    dim: int = 64
    n_layers: int = 2
    n_heads: int = 2
    max_length: int = 50
    max_items: int = 12_288
    dropout: float = 0.2
    loop: LoopConfig = field(default_factory=LoopConfig)
    windows: WindowsConfig = field(default_factory=WindowsConfig)


class Attention(Part):
    """head int64 (n_head,): the items it knows; embedding row h + 1 belongs to head[h], row 0 to all others."""

    name: ClassVar[str] = "attention"
    row_of: Tensor
    head: Tensor

    def __init__(self, n_items: int, config: AttentionConfig | None = None) -> None:
        super().__init__()
        self.n_items = n_items
        self.config = config or AttentionConfig()
        self.register_buffer("row_of", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("head", torch.zeros(0, dtype=torch.int64))
        self.know(torch.arange(1, n_items + 1))

    def know(self, head: Tensor) -> None:
        """Start afresh, knowing these items, int64 (n_head,): the same start for the same seed."""
        config, dim = self.config, self.config.dim
        self.head = head
        self.row_of = torch.zeros(self.n_items + 1, dtype=torch.int64)
        self.row_of[head] = torch.arange(1, len(head) + 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.loop.seed)
            self.item = nn.Embedding(len(head) + 1, dim)
            nn.init.normal_(self.item.weight, std=1 / math.sqrt(dim))
            self.event = nn.Embedding(len(EVENT_CODES) + 1, dim)
            self.gap = nn.Embedding(N_GAPS, dim)
            self.since = nn.Embedding(N_GAPS, dim)
            for table in (self.event, self.gap, self.since):
                nn.init.normal_(table.weight, std=0.02)  # torch's 1.0 would drown the items
            self.distance = nn.Embedding(config.max_length, config.n_heads)
            self.fade = nn.Embedding(config.max_length, 1)
            for table in (self.distance, self.fade):
                nn.init.zeros_(table.weight)
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.bias = nn.Parameter(torch.zeros(len(head)))
        self.norm, self.average_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        seen = seen_matrix(data)
        head = frequent_items(seen, self.config.max_items)
        self.know(torch.from_numpy(head))
        counts = np.bincount(data.items, minlength=self.n_items + 1)[head]
        with torch.no_grad():  # start from popularity and from who had what: the order is left to learn
            self.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())).float())
            start_from_factors(self.item.weight[1:], seen[:, head])
        windows = Windows(data, self.row_of.numpy(), self.config.max_length, self.config.windows)
        task = Task(windows.batches, windows.n_batches, self.loss, share=share)
        train(self, task, self.config.loop, run)
        return self

    def item_vectors(self) -> npt.NDArray[np.float32]:
        """float32 (n_items + 1, D); zero for padding and for items that it did not learn."""
        vectors: npt.NDArray[np.float32] = self.item.weight.detach()[self.row_of].numpy()
        vectors[self.row_of.numpy() == 0] = 0.0
        return vectors

    def loss(self, batch: WindowBatch) -> Tensor:
        """Mean cross entropy of the chosen positions against what came next; several targets share one softmax."""
        states = self.states(batch.items, batch.events, batch.age_days)
        query = self.dropout(states[batch.rows, batch.positions] + self.since(gap_bucket(batch.since_days)))
        aimed = torch.einsum("rd,rtd->rt", query, self.item(batch.targets))
        aimed = aimed + self.bias[torch.clamp(batch.targets - 1, min=0)]
        real = (batch.targets > 0).float()  # (R, T)
        total = catalogue_logsumexp(query, self.item.weight[1:], self.bias)
        return (total - (aimed * real).sum(dim=1) / real.sum(dim=1)).mean()

    def states(self, items: Tensor, events: Tensor, age_days: Tensor) -> Tensor:
        """(B, max_length, D): the state after each of the newest events, padded on the left."""
        width = self.config.max_length
        items, events, age_days = (
            nn.functional.pad(x, (width, 0)).narrow(1, x.shape[1], width) for x in (items, events, age_days)
        )
        real = items > 0
        before = nn.functional.pad(age_days, (1, 0)).narrow(1, 0, width)
        gap = gap_bucket(torch.clamp(before - age_days, min=0.0))
        vectors = self.item(self.row_of[items])
        x = vectors + self.event(events) + self.gap(gap)
        order = torch.arange(width, device=items.device)
        visible = (order[None, :] <= order[:, None]) & real[:, None, :]  # (B, W, W)
        visible = visible | (order[None, :] == order[:, None])
        back = torch.clamp(order[:, None] - order[None, :], min=0)  # (W, W): how far a key lies before its query
        near = self.distance(back).permute(2, 0, 1)  # (heads, W, W)
        bias = near + bias_of(visible)[:, None]  # (B, heads, W, W)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, bias)
        fade = torch.softmax(self.fade(back).squeeze(2) + bias_of(visible), dim=2)  # (B, W, W)
        states: Tensor = self.norm(x) + self.average_norm(fade @ vectors)
        return states

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        last = self.states(history_items, history_events, history_age_days)[:, -1]
        query = last + self.since(gap_bucket(history_age_days[:, -1]))
        logits = nn.functional.linear(query, self.item.weight[1:], self.bias)  # (B, n_head)
        if len(self.head) == self.n_items:
            return nn.functional.pad(logits, (1, 0))
        lowest = logits.amin(dim=1, keepdim=True).expand(-1, self.n_items)
        scores = nn.functional.pad(lowest, (1, 0))
        return scores.scatter(1, self.head.expand(logits.shape[0], -1), logits)


class Block(nn.Module):
    """Pre-norm self-attention and a two-layer network."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        dim = config.dim
        self.n_heads = config.n_heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, width, dim = x.shape
        heads = self.qkv(self.norm(x)).reshape(batch, width, 3, self.n_heads, dim // self.n_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, heads, W, D / heads)
        strength = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[3]) + bias, dim=3)
        mixed = strength @ v
        x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, width, dim)))
        changed: Tensor = x + self.dropout(self.mlp(x))
        return changed


def bias_of(visible: Tensor) -> Tensor:
    """0 where a key may be seen, and what makes its weight vanish elsewhere."""
    return torch.where(visible, 0.0, -1e9)


def gap_bucket(days: Tensor) -> Tensor:
    """int64 in 0..N_GAPS - 1: the logarithm of a time, from minutes to years."""
    return torch.clamp(torch.log2(days * 1440.0 + 1.0), max=N_GAPS - 1.0).long()
