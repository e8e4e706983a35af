"""A low-pass filter over the graph of users, items, and what the catalogue says of items.

    R̂ = D_u^-1/2 R D_i^-1/2          users and items; R = 1 where the user had the item
    Ĉ = √w · (C D_t^-1/2)ᵀ             the items' words and attributes are nodes beside the users
    S = R̂ᵀR̂ + ĈᵀĈ                      what items share: users, words, attributes
    W = S + s · D_i^-1/2 V Vᵀ D_i^1/2   row = item of the history

S is one step over the graph, kept as the `n_neighbours` strongest weights a row. The second term is the ideal low-pass
filter: the rows of V are the right singular vectors of [R̂; Ĉ] with the `n_factors` largest singular values, the
waves over the graph that change least from node to node. A user is folded in: its history, weighted as in
`sparse_rows.py`, is a new row of R.

source: Shen et al. 2021, "How Powerful is Graph Convolution for Recommendation?" (GF-CF), CIKM, arXiv:2108.07567;
        LightGCN: He et al. 2020, SIGIR; knowledge nodes: Wang et al. 2019, KGAT, KDD
limits: closed form, so nothing is learnt but by the filter's shape; the order of the history counts by its fading.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from training.interactions import Interactions
from training.models.ease import seen_matrix
from training.models.item_knn import newest
from training.models.protocol import QUIET, Run
from training.models.sparse_rows import Fading, SparseRows, alike, presence
from training.models.svd import truncated_svd
from training.models.transitions import powers
from training.models.vectors import cosines


@dataclass(frozen=True, slots=True)
class GraphConfig:
    n_factors: int = 128
    smooth: float = 0.3  # s, the low-pass filter's weight beside the one step
    content: float = 0.3  # w, the weight of words and attributes beside users; used where the catalogue says something
    n_neighbours: int = 128
    max_history: int = 500
    fading: Fading = field(default_factory=Fading)


class Graph(SparseRows):
    """Rows of S, and float32 (n_items + 1, D): heard = D_i^1/2 V, of a candidate; told = s D_i^-1/2 V, of a history."""

    name: ClassVar[str] = "graph"
    n_strengths: ClassVar[int] = 2
    heard: Tensor
    told: Tensor

    def __init__(self, n_items: int, config: GraphConfig | None = None) -> None:
        self.config = config or GraphConfig()
        super().__init__(n_items, self.config.fading)
        for name in ("heard", "told"):
            self.register_buffer(name, torch.zeros(n_items + 1, self.config.n_factors))

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        config = self.config
        seen = seen_matrix(newest(data, config.max_history))
        users = normalised(seen)
        words = None if data.content is None or not config.content else word_nodes(data.content, config.content)
        run.progress(0.1)
        one_step = sp.csr_matrix(users.T @ users)
        if words is not None:
            one_step = sp.csr_matrix(one_step + alike(sp.csr_matrix(words.T), config.n_neighbours))
        one_step.setdiag(0.0)
        self.keep_matrix(one_step, config.n_neighbours)
        run.progress(0.4)
        waves = smooth_waves(users if words is None else sp.vstack([users, words]).tocsr(), config.n_factors)
        waves[0] = 0.0  # padding, which rounding would give a place
        degree = torch.from_numpy(np.asarray(seen.sum(axis=0)).ravel()).clamp(min=1.0).sqrt()[:, None]
        self.heard, self.told = waves * degree, waves / degree * config.smooth
        run.progress(1.0)
        return self

    def item_vectors(self) -> npt.NDArray[np.float32]:
        """float32 (n_items + 1, D), rows of V times the square root of the item's users."""
        vectors: npt.NDArray[np.float32] = self.heard.numpy()
        return vectors

    def between(self, recent: Tensor, candidates: Tensor) -> Tensor:
        """One step over the graph, and the cosine of the items' places in the smooth waves."""
        return torch.cat([super().between(recent, candidates), cosines(self.heard, recent, candidates)], dim=1)

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        one_step = super().forward(history_items, history_events, history_age_days)
        present = presence(history_items, self.event_weights[history_events], history_age_days, self.fading)
        user = torch.matmul(present.unsqueeze(1), self.told[history_items]).squeeze(1)
        return one_step + user @ self.heard.T


def normalised(adjacency: sp.csr_matrix) -> sp.csr_matrix:
    """Divided by the square roots of the degrees of its rows and columns, float32."""
    return powers(adjacency, 0.5, 0.5)


def word_nodes(content: sp.csr_matrix, weight: float) -> sp.csr_matrix:
    """Ĉ, float32 (F, n_items + 1). content: (n_items + 1, F), unit rows."""
    return sp.csr_matrix(powers(content, 0.0, 0.5).T * np.float32(weight**0.5))


def smooth_waves(stacked: sp.csr_matrix, n_factors: int) -> Tensor:
    """V, float32 (n_items + 1, n_factors), zero columns where there are fewer. stacked: (nodes, n_items + 1)"""
    kept = min(n_factors, min(stacked.shape) - 1)
    if kept < 1:
        return torch.zeros(stacked.shape[1], n_factors)
    _, strength, right = truncated_svd(stacked, kept)
    waves = torch.from_numpy(np.ascontiguousarray(right[strength > 1e-9].T)).float()
    return torch.nn.functional.pad(waves, (0, n_factors - waves.shape[1]))
