"""EASE, a closed-form item-to-item model with a recency-weighted history.

scores = x B with B = I - P / diag(P), P = (XᵀX + λ I)⁻¹; x holds each item of the history at its newest occurrence,
weighted by event type, age and position.

source: Steck 2019, arXiv:1905.03375
limits: the inverse is dense, so B covers the `max_items` most frequent items (12,000 items: 15 CPU-s, 1.2 GB), and
        only the strongest `n_neighbours` weights of each row are kept, so that a request costs L × n_neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from training.interactions import Interactions
from training.models.protocol import QUIET, Part, Run, newest_occurrence


@dataclass(frozen=True, slots=True)
class EaseConfig:
    l2: float = 200.0  # ridge strength, in interactions
    max_items: int = 12_288
    n_neighbours: int = 128
    half_life_days: float = 60.0  # an event of this age weighs half
    half_life_steps: float = 100.0  # and so does one this far back
    event_weights: tuple[float, ...] = (0.0, 0.3, 0.5, 0.8, 1.0, 1.0, 0.0)  # by event code; padding and removal count 0


class Ease(Part):
    """Buffers: row_of int64 (n_items + 1,) → row of `neighbours` int32 and `weights` float32 (n_head + 1, N)."""

    name: ClassVar[str] = "ease"
    row_of: Tensor
    neighbours: Tensor
    weights: Tensor
    event_weights: Tensor

    def __init__(self, n_items: int, config: EaseConfig | None = None) -> None:
        super().__init__()
        self.n_items = n_items
        self.config = config or EaseConfig()
        self.register_buffer("row_of", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("neighbours", torch.zeros(1, 1, dtype=torch.int32))
        self.register_buffer("weights", torch.zeros(1, 1))
        self.register_buffer("event_weights", torch.tensor(self.config.event_weights))

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        seen = seen_matrix(data)
        head = frequent_items(seen, self.config.max_items)
        run.progress(0.1)
        self.keep(head, dense_weights(seen[:, head], self.config.l2))
        run.progress(1.0)
        return self

    def keep(self, head: np.ndarray, dense: Tensor) -> None:
        """Store the strongest weights. head: int64 (H,), item indices; dense: float32 (H, H), row = item of history."""
        n_neighbours = min(self.config.n_neighbours, len(head))
        kept = torch.topk(dense.abs(), n_neighbours, dim=1, sorted=False).indices
        rows = torch.zeros(len(head) + 1, n_neighbours)
        rows[1:] = torch.gather(dense, 1, kept)
        columns = torch.zeros(len(head) + 1, n_neighbours, dtype=torch.int32)
        columns[1:] = torch.from_numpy(head)[kept].int()
        self.row_of = torch.zeros(self.n_items + 1, dtype=torch.int64)
        self.row_of[torch.from_numpy(head)] = torch.arange(1, len(head) + 1)
        self.neighbours, self.weights = columns, rows

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        steps_back = torch.arange(history_items.shape[1] - 1, -1, -1, device=history_items.device)
        age = history_age_days / self.config.half_life_days + steps_back / self.config.half_life_steps
        present = newest_occurrence(history_items) * self.event_weights[history_events] * torch.exp2(-age)  # (B, L)
        rows = self.row_of[history_items]
        values = self.weights[rows] * present[:, :, None]  # (B, L, N)
        columns = self.neighbours[rows].long()
        scores = torch.zeros(history_items.shape[0], self.n_items + 1, device=history_items.device)
        return scores.scatter_add(1, columns.flatten(1), values.flatten(1))


def seen_matrix(data: Interactions) -> sp.csr_matrix:
    """(U, n_items + 1) float32, 1 where the user ever interacted with the item."""
    shape = (data.n_users, data.n_items + 1)
    matrix = sp.csr_matrix((np.ones(len(data), np.float32), (data.users, data.items)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def frequent_items(seen: sp.csr_matrix, at_most: int) -> np.ndarray:
    """int64: the items with the most users, in vocabulary order; items that nobody saw are left out."""
    n_users = np.asarray(seen.sum(axis=0)).ravel()
    n_users[0] = 0
    order = np.argsort(-n_users, kind="stable")[:at_most]
    return np.sort(order[n_users[order] > 0])


def dense_weights(seen: sp.csr_matrix, l2: float) -> Tensor:
    """(H, H) float32: B, with a zero diagonal. The inverse is taken on the smaller side of X, users or items."""
    n_users, n_items = seen.shape
    if n_users < n_items:  # Woodbury: (XᵀX + λI)⁻¹ = (I - Xᵀ (XXᵀ + λI)⁻¹ X) / λ
        gram = torch.from_numpy((seen @ seen.T).toarray().astype(np.float32))
        gram.diagonal().add_(l2)
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(gram), dense(seen), upper=False)
        precision = (half.T @ half).neg_()
        precision.diagonal().add_(1.0)  # the factor 1 / λ cancels below
    else:
        gram = torch.from_numpy((seen.T @ seen).toarray().astype(np.float32))
        gram.diagonal().add_(l2)
        precision = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    weights: Tensor = -precision / precision.diagonal()
    return weights.fill_diagonal_(0.0)


def dense(seen: sp.csr_matrix) -> Tensor:
    return torch.from_numpy(seen.toarray())
