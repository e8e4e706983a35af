"""EASE, a closed-form item-to-item model with a recency-weighted history.

scores = x B with B = I - P / diag(P), P = (XᵀX + c (S + I) + λ I)⁻¹; x is the weighted history of `sparse_rows.py`.
S is the cosine of the items' contents (zero diagonal): where users say little of an item, its likes speak for it.

source: Steck 2019, arXiv:1905.03375; the content gram as in Jeunen, Van Balen & Goethals 2020, "Closed-form models
        for collaborative filtering with side-information", RecSys
limits: the inverse is dense, so B covers the `max_items` most frequent items (12,000 items: 15 CPU-s, 1.2 GB), and
        only the strongest `n_neighbours` weights of each row are kept, so that a request costs L × n_neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from training.devices import CPU, Device
from training.interactions import Interactions
from training.models.protocol import QUIET, Run
from training.models.sparse_rows import Fading, SparseRows


@dataclass(frozen=True, slots=True)
class EaseConfig:
    l2: float = 200.0  # ridge strength, in interactions
    max_items: int = 12_288
    n_neighbours: int = 128
    content: float = 0.0  # c, in interactions; used where the catalogue says something
    fading: Fading = field(default_factory=Fading)


class Ease(SparseRows):
    name: ClassVar[str] = "ease"

    def __init__(self, n_items: int, config: EaseConfig | None = None) -> None:
        self.config = config or EaseConfig()
        super().__init__(n_items, self.config.fading)

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        seen = seen_matrix(data)
        head = frequent_items(seen, self.config.max_items)
        run.progress(0.1)
        content = None if data.content is None or not self.config.content else data.content[head]
        weights = dense_weights(seen[:, head], self.config.l2, content, self.config.content, run.device)
        keep_dense(self, head, weights, self.config.n_neighbours)
        run.progress(1.0)
        return self


def keep_dense(part: SparseRows, head: np.ndarray, weights: Tensor, n_neighbours: int) -> None:
    """Store the strongest weights. head: int64 (H,), items; weights: float32 (H, H), row = item of history."""
    kept = torch.topk(weights.abs(), min(n_neighbours, len(head)), dim=1, sorted=False).indices
    part.keep(head, torch.from_numpy(head)[kept], torch.gather(weights, 1, kept))


def seen_matrix(data: Interactions) -> sp.csr_matrix:
    """(U, n_items + 1) float32, 1 where the user ever interacted with the item other than by removing it."""
    shape, chosen = (data.n_users, data.n_items + 1), data.chosen
    ones = np.ones(int(chosen.sum()), np.float32)
    matrix = sp.csr_matrix((ones, (data.users[chosen], data.items[chosen])), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def frequent_items(seen: sp.csr_matrix, at_most: int) -> np.ndarray:
    """int64: the items with the most users, in vocabulary order; items that nobody saw are left out."""
    n_users = np.asarray(seen.sum(axis=0)).ravel()
    n_users[0] = 0
    order = np.argsort(-n_users, kind="stable")[:at_most]
    return np.sort(order[n_users[order] > 0])


def dense_weights(
    seen: sp.csr_matrix, l2: float, content: sp.csr_matrix | None = None, c: float = 0.0, device: Device = CPU
) -> Tensor:
    """(H, H) float32 on the CPU: B, with a zero diagonal. content: unit or zero rows (H, F).

    Without content the inverse is taken on the smaller side of X, users or items.
    """
    n_users, n_items = seen.shape
    if n_users < n_items and content is None:  # Woodbury: (XᵀX + λI)⁻¹ = (I - Xᵀ (XXᵀ + λI)⁻¹ X) / λ
        gram = torch.from_numpy((seen @ seen.T).toarray().astype(np.float32))
        gram.diagonal().add_(l2)
        gram, wide = device.moved((gram, dense(seen)))
        half = torch.linalg.solve_triangular(torch.linalg.cholesky(gram), wide, upper=False)
        precision = (half.T @ half).neg_()
        precision.diagonal().add_(1.0)  # the factor 1 / λ cancels below
    else:
        gram = torch.from_numpy((seen.T @ seen).toarray().astype(np.float32))
        gram.diagonal().add_(l2)
        if content is not None:
            gram.add_(torch.from_numpy((content @ content.T).toarray()), alpha=c)
            gram.diagonal().add_(torch.from_numpy((content.getnnz(axis=1) == 0).astype(np.float32)), alpha=c)
        precision = torch.cholesky_inverse(torch.linalg.cholesky(device.moved(gram)))
    weights: Tensor = precision.div_(-precision.diagonal().clone())
    return weights.fill_diagonal_(0.0).cpu()


def dense(seen: sp.csr_matrix) -> Tensor:
    return torch.from_numpy(seen.toarray())
