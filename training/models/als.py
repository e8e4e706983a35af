"""Implicit ALS: users and items as vectors; a user's is solved anew from its history at every request.

    fit:     minimise Σ_ui c_ui (p_ui - x_u·y_i)² + λ (Σ_u |x_u|² + Σ_i |y_i|²), in turns over all x and all y,
             p = 1 where the user had the item, else 0; c = 1 + α · weight(event) where p = 1, else 1
    request: (YᵀY + Yᵀ(C - I)Y + λI) x = YᵀC p, C - I = α · presence of the history's items (`sparse_rows.py`)
    score(j) = x·y_j

Both systems are solved by a few steps of conjugate gradients with the preconditioner (YᵀY + λI)⁻¹: what is left of
the matrix is the identity plus one rank for each item of the history, so n steps solve a history of n items exactly.
The steps are unrolled, since ONNX has no solver.

source: Hu, Koren & Volinsky 2008, "Collaborative Filtering for Implicit Feedback Datasets", ICDM; conjugate gradients
        as in Takács, Pilászy & Tikk 2011, "Applications of the Conjugate Gradient Method for Implicit Feedback
        Collaborative Filtering", RecSys
limits: all items and users fit in memory as vectors; items that nobody had score 0. Knows no order but recency.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from training.interactions import Interactions
from training.models.protocol import QUIET, Part, Run
from training.models.sparse_rows import Fading, presence

IntArray = npt.NDArray[np.int64]
_SHORT: Final = 16
_CELLS: Final = 1 << 18  # of a block of padded vectors: it stays in the cache


@dataclass(frozen=True, slots=True)
class AlsConfig:
    n_factors: int = 64
    n_iterations: int = 15
    alpha: float = 20.0  # what an interaction adds to the confidence 1 of a blank
    l2: float = 5.0
    fit_steps: int = 2  # of conjugate gradients, from the last iteration's solution
    request_steps: int = 6  # from zero
    seed: int = 0
    fading: Fading = field(default_factory=Fading)


class Als(Part):
    """Buffers float32: vectors (n_items + 1, D), zero at padding; gram = YᵀY + λI (D, D); inverse, of gram."""

    name: ClassVar[str] = "als"
    vectors: Tensor
    gram: Tensor
    inverse: Tensor
    event_weights: Tensor

    def __init__(self, n_items: int, config: AlsConfig | None = None) -> None:
        super().__init__()
        self.n_items = n_items
        self.config = config or AlsConfig()
        dim = self.config.n_factors
        self.register_buffer("vectors", torch.zeros(n_items + 1, dim))
        self.register_buffer("gram", torch.eye(dim))
        self.register_buffer("inverse", torch.eye(dim))
        self.register_buffer("event_weights", torch.tensor(self.config.fading.event_weights))

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        config = self.config
        weights = strongest_event(data, np.array(config.fading.event_weights, np.float32))
        sides = (Rows.of(weights, config.n_factors), Rows.of(weights.T.tocsr(), config.n_factors))
        make = torch.Generator().manual_seed(config.seed)
        users, items = (torch.randn(n, config.n_factors, generator=make).mul_(0.01) for n in weights.shape)
        for iteration in range(config.n_iterations):
            self._solve(sides[0], users, items)
            self._solve(sides[1], items, users)
            run.progress((iteration + 1) / config.n_iterations)
        items[torch.from_numpy(weights.getnnz(axis=0) == 0)] = 0.0
        self.vectors = items
        self.gram, self.inverse = self._gram(items)
        return self

    def _solve(self, rows: Rows, solved: Tensor, given: Tensor) -> None:
        """Overwrite the vectors `solved` (N, D) by the better ones for `given` (M, D)."""
        gram, inverse = self._gram(given)
        buffer = given.new_empty(rows.n_cells, given.shape[1])  # taken anew from the system, it would cost most of all
        for block in rows.blocks:
            n_cells = block.columns.numel()
            vectors = torch.index_select(given, 0, block.columns.flatten(), out=buffer[:n_cells])
            vectors = vectors.view(*block.columns.shape, -1)
            extra = block.weights * self.config.alpha
            solved[block.rows] = conjugate_gradients(
                gram,
                inverse,
                vectors,
                extra,
                solved[block.rows],
                self.config.fit_steps,
                short=extra.shape[1] < _SHORT,
            )

    def _gram(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        gram = vectors.T @ vectors
        gram.diagonal().add_(self.config.l2)
        return gram, torch.linalg.inv(gram)

    def item_vectors(self) -> npt.NDArray[np.float32]:
        """float32 (n_items + 1, D); zero for padding and for items that nobody had."""
        vectors: npt.NDArray[np.float32] = self.vectors.numpy()
        return vectors

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        present = presence(history_items, self.event_weights[history_events], history_age_days, self.config.fading)
        extra = present * self.config.alpha
        start = self.inverse.new_zeros(1, self.inverse.shape[0]).expand(history_items.shape[0], -1)
        user = conjugate_gradients(
            self.gram, self.inverse, self.vectors[history_items], extra, start, self.config.request_steps
        )
        return user @ self.vectors.T


def conjugate_gradients(
    gram: Tensor, inverse: Tensor, vectors: Tensor, extra: Tensor, start: Tensor, n_steps: int, short: bool = False
) -> Tensor:
    """x (B, D), nearly (gram + Σ_h extra_h v_h v_hᵀ) x = Σ_h (1 + extra_h) v_h, where extra_h > 0.

    gram, inverse: (D, D), λ included; vectors v: (B, L, D); extra: (B, L), 0 = absent; start: (B, D)
    short: L is so small that sums are faster than a batch of matrix products
    """

    def along(x: Tensor) -> Tensor:  # (B, L)
        return (vectors * x.unsqueeze(1)).sum(dim=2) * extra

    def back(weights: Tensor) -> Tensor:  # (B, D)
        if short:
            return (vectors * weights.unsqueeze(2)).sum(dim=1)
        return torch.matmul(weights.unsqueeze(1), vectors).squeeze(1)

    x, left = start, back(extra + (extra > 0) - along(start)) - start @ gram
    direction = nearer = left @ inverse
    size = (left * nearer).sum(dim=1, keepdim=True)
    for steps_left in range(n_steps - 1, -1, -1):
        applied = direction @ gram + back(along(direction))
        step = size / torch.clamp((direction * applied).sum(dim=1, keepdim=True), min=1e-12)
        x = x + step * direction
        if steps_left:
            left = left - step * applied
            nearer = left @ inverse
            before, size = size, (left * nearer).sum(dim=1, keepdim=True)
            direction = nearer + size / torch.clamp(before, min=1e-12) * direction
    return x


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a sparse matrix, padded to the longest. rows (B,), columns (B, L) int64; weights float32 (B, L)."""

    rows: Tensor
    columns: Tensor
    weights: Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of a sparse matrix that hold something, in blocks of nearly equal lengths."""

    blocks: tuple[Block, ...]

    @property
    def n_cells(self) -> int:
        """Of the largest block."""
        return max((block.columns.numel() for block in self.blocks), default=0)

    @classmethod
    def of(cls, matrix: sp.csr_matrix, dim: int) -> Self:
        return cls(tuple(_block(matrix, rows) for rows in _groups(np.diff(matrix.indptr), dim)))


def _groups(lengths: IntArray, dim: int) -> Iterator[IntArray]:
    """Row numbers, longest first, so many at a time that their padded vectors have about `_CELLS` numbers."""
    order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    first = 0
    while first < len(order):
        n = max(1, _CELLS // (int(lengths[order[first]]) * dim))
        yield order[first : first + n]
        first += n


def _block(matrix: sp.csr_matrix, rows: IntArray) -> Block:
    starts, lengths = matrix.indptr[rows], np.diff(matrix.indptr)[rows]
    place = np.arange(lengths.max())
    real = place < lengths[:, None]
    at = np.where(real, starts[:, None] + place, starts[:, None])
    weights = (matrix.data[at] * real).astype(np.float32)
    return Block(*(torch.from_numpy(array) for array in (rows, matrix.indices[at].astype(np.int64), weights)))


def strongest_event(data: Interactions, event_weights: npt.NDArray[np.float32]) -> sp.csr_matrix:
    """float32 (U, n_items + 1): the largest weight of the user's events with the item; events of weight 0 are left
    out."""
    weights = event_weights[data.events]
    order = np.lexsort((-weights, data.items, data.users))
    users, items, weights = data.users[order], data.items[order], weights[order]
    first = np.ones(len(order), bool)
    first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    kept = first & (weights > 0)
    shape = (data.n_users, data.n_items + 1)
    return sp.csr_matrix((weights[kept], (users[kept], items[kept])), shape=shape)
