"""Attention over the behaviour sequence, trained with cross entropy over the whole catalogue, or a sample of it.

A causal transformer reads the newest `max_length` events: item + event type + gap to the event before. Positions are
relative (a learnt bias for the distance), so a state means the same wherever it stands in a training window. To its
last state come a learnt fading average of the items themselves and an embedding of the time since the last event;
the sum is compared with every item.

    vector(i) = own(i) + M · side(i)      side: what words, attributes and transitions say of i (`factors.py`)

With `side`, an item that few had borrows from those like it; without, the own vectors start from who had what.

source: Kang & McAuley 2018, arXiv:1808.09781 (model); Klenitskiy & Vasilev 2023, arXiv:2309.07602 (full softmax);
        Jean et al. 2015, arXiv:1412.2007 (sampled softmax); contrast: Qiu et al. 2022, DuoRec, arXiv:2110.05730
limits: learns the `max_items` most frequent items; the others get the lowest score that it gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from fusionrec.feature_spec import EVENT_CODES
from training.interactions import Interactions
from training.loop import LoopConfig, Task, train
from training.models.blocks import N_GAPS, Block, BlockConfig, bias_of, gap_bucket
from training.models.ease import frequent_items, seen_matrix
from training.models.factors import side_information, start_from_factors
from training.models.protocol import QUIET, Part, Run
from training.models.softmax import apart, catalogue_logsumexp, sampled_logsumexp
from training.models.stopping import stopping
from training.models.vectors import unit
from training.models.windows import WindowBatch, Windows, WindowsConfig, share

# Spreads below the mean at which scores end, and at which items stand that it did not learn. A few items end up with
# logits of -80 while the others spread by 2: the fusion, which compares with the spread of all, would see nothing else.
_FLOOR = 2.0


@dataclass(frozen=True, slots=True)
class AttentionConfig:
    dim: int = 64
    n_layers: int = 2
    n_heads: int = 2
    max_length: int = 50
    max_items: int = 12_288
    dropout: float = 0.2
    low_pass: float = 0.0  # share of a low-pass filter in each layer, 0: attention alone
    side: int = 0  # factors of words and attributes, and as many of transitions, in the items' vectors
    n_negatives: int = 0  # items that a step compares with besides its own targets; 0: all
    contrast: float = 0.0  # weight of the loss that two looks at one history, each with its dropout, should agree
    loop: LoopConfig = field(default_factory=LoopConfig)
    windows: WindowsConfig = field(default_factory=WindowsConfig)


class Attention(Part):
    """head int64 (n_head,): the items it knows; embedding row h + 1 belongs to head[h], row 0 to all others."""

    name: ClassVar[str] = "attention"
    n_strengths: ClassVar[int] = 1
    row_of: Tensor
    head: Tensor
    shares: Tensor
    side: Tensor | None  # (n_head + 1, S) while it learns
    of_side: nn.Linear | None

    def __init__(self, n_items: int, config: AttentionConfig | None = None) -> None:
        super().__init__()
        self.n_items = n_items
        self.config = config or AttentionConfig()
        self.register_buffer("row_of", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("head", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("shares", torch.zeros(0), persistent=False)
        self.register_buffer("side", None, persistent=False)
        self.register_module("of_side", None)
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
            block = BlockConfig(dim, config.n_heads, config.dropout, config.low_pass)
            self.blocks = nn.ModuleList(Block(block) for _ in range(config.n_layers))
        self.bias = nn.Parameter(torch.zeros(len(head)))
        self.input_norm, self.norm, self.average_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        data, validate = stopping(self, data, self.config.loop)
        seen = seen_matrix(data)
        head = frequent_items(seen, self.config.max_items)
        self.know(torch.from_numpy(head))
        counts = np.bincount(data.items, minlength=self.n_items + 1)[head]
        self.shares = torch.from_numpy(counts / max(counts.sum(), 1)).float()
        with torch.no_grad():
            self.bias.copy_(torch.log(self.shares))
        self.start(data, seen, head)
        windows = Windows(data, self.row_of.numpy(), self.config.max_length, self.config.windows)
        task = Task(windows.batches, windows.n_batches, self.loss, validate, share)
        train(self, task, self.config.loop, run)
        self.settle()
        return self

    def start(self, data: Interactions, seen: sp.csr_matrix, head: npt.NDArray[np.int64]) -> None:
        """From side information, or from who had what: only the order is left to learn."""
        self.side = self.of_side = None
        if not self.config.side:
            with torch.no_grad():
                start_from_factors(self.item.weight[1:], seen[:, head])
            return
        side = nn.functional.pad(side_information(data, head, self.config.side), (0, 0, 1, 0))
        self.side = side
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.loop.seed)
            nn.init.normal_(self.item.weight, std=0.02)
            self.of_side = nn.Linear(side.shape[1], self.config.dim, bias=False)
            nn.init.normal_(self.of_side.weight, std=0.05)

    def table(self) -> Tensor:
        """Vectors of the items it knows, float32 (n_head + 1, D); row 0 stands for all others."""
        if self.side is None or self.of_side is None:
            return self.item.weight
        vectors: Tensor = self.item.weight + self.of_side(self.side)
        return vectors

    def settle(self) -> None:
        """Learning is over: what side information adds goes into the items' own vectors."""
        with torch.no_grad():
            self.item.weight.copy_(self.table())
        self.side = self.of_side = None

    def item_vectors(self) -> npt.NDArray[np.float32]:
        """float32 (n_items + 1, D); zero for padding and for items that it did not learn."""
        vectors: npt.NDArray[np.float32] = self.item.weight.detach()[self.row_of].numpy()
        vectors[self.row_of.numpy() == 0] = 0.0
        return vectors

    def between(self, recent: Tensor, candidates: Tensor) -> Tensor:
        """Cosine of the items' vectors; 0 with items that it did not learn."""
        rows = [self.row_of[items] for items in (recent, candidates)]
        of_recent, of_candidates = (unit(self.item.weight[row] * (row > 0).float()[:, :, None]) for row in rows)
        return torch.einsum("brd,bcd->brc", of_recent, of_candidates)[:, None]

    def loss(self, batch: WindowBatch) -> Tensor:
        """Mean cross entropy of the chosen positions against what came next; several targets share one softmax."""
        table = self.table()
        query = self.query(batch, table)
        aimed = torch.einsum("rd,rtd->rt", query, nn.functional.embedding(batch.targets, table))
        aimed = aimed + self.bias[torch.clamp(batch.targets - 1, min=0)]
        real = (batch.targets > 0).float()  # (R, T)
        if self.config.n_negatives:
            total = sampled_logsumexp(query, table[1:], self.bias, batch.targets, self.shares, self.config.n_negatives)
        else:
            total = catalogue_logsumexp(query, table[1:], self.bias)
        loss = (total - (aimed * real).sum(dim=1) / real.sum(dim=1)).mean()
        if self.config.contrast:
            loss = loss + self.config.contrast * apart(query, self.query(batch, table))
        return loss

    def query(self, batch: WindowBatch, table: Tensor) -> Tensor:
        """What is compared with the items at the chosen positions, (R, D)."""
        states = self.states(batch.items, batch.events, batch.age_days, table)
        query: Tensor = self.dropout(states[batch.rows, batch.positions] + self.since(gap_bucket(batch.since_days)))
        return query

    def states(self, items: Tensor, events: Tensor, age_days: Tensor, table: Tensor) -> Tensor:
        """(B, W, D): the state after each of the newest W events, at most `max_length`, padded on the left."""
        items, events, age_days = (x[:, -self.config.max_length :] for x in (items, events, age_days))
        real = items > 0
        before = nn.functional.pad(age_days, (1, 0))[:, :-1]
        gap = gap_bucket(torch.clamp(before - age_days, min=0.0))
        vectors = nn.functional.embedding(self.row_of[items], table)  # indexing would be slow to differentiate
        order = torch.arange(items.shape[1], device=items.device)
        visible = (order[None, :] <= order[:, None]) & real[:, None, :]  # (B, W, W)
        visible = visible | (order[None, :] == order[:, None])
        back = torch.clamp(order[:, None] - order[None, :], min=0)  # (W, W): how far a key lies before its query
        near = self.distance(back).permute(2, 0, 1)  # (heads, W, W)
        bias = near + bias_of(visible)[:, None]  # (B, heads, W, W)
        x = self.dropout(self.input_norm(vectors) + self.event(events) + self.gap(gap))
        for block in self.blocks:
            x = block(x, bias, real)
        fade = torch.softmax(self.fade(back).squeeze(2) + bias_of(visible), dim=2)  # (B, W, W)
        states: Tensor = self.norm(x) + self.average_norm(fade @ vectors)
        return states

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        table = self.table()
        last = self.states(history_items, history_events, history_age_days, table)[:, -1]
        query = last + self.since(gap_bucket(history_age_days[:, -1]))
        logits = nn.functional.linear(query, table[1:], self.bias)  # (B, n_head)
        floor = logits.mean(dim=1, keepdim=True) - _FLOOR * logits.std(dim=1, keepdim=True, correction=0)
        logits = torch.maximum(logits, floor)
        if len(self.head) == self.n_items:
            return nn.functional.pad(logits, (1, 0))
        scores = nn.functional.pad(floor.expand(-1, self.n_items), (1, 0))
        return scores.scatter(1, self.head.expand(logits.shape[0], -1), logits)
