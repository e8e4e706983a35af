"""Implicit ALS: users and items as vectors; a user's is solved anew from its history at every request.

    fit:     minimise Σ_ui c_ui (p_ui - x_u·y_i)² + λ (Σ_u |x_u|² + Σ_i |y_i|²), in turns over all x and all y,
             p = 1 where the user had the item, else 0; c = 1 + α · weight(event) where p = 1, else 1
    request: (YᵀY + Yᵀ(C - I)Y + λI) x = YᵀC p, C - I = α · presence of the history's items (`sparse_rows.py`)
    score(j) = x·y_j

Both systems are solved in coordinates where YᵀY + λI is the identity (x → Lᵀx, y → L⁻¹y, L its Cholesky root) by a
few steps of conjugate gradients. What is left of the matrix there is the identity plus one rank for each item of the
history, so n steps solve a history of n items exactly. The steps are unrolled, since ONNX has no solver.

source: Hu, Koren & Volinsky 2008, "Collaborative Filtering for Implicit Feedback Datasets", ICDM; conjugate gradients
        as in Takács, Pilászy & Tikk 2011, "Applications of the Conjugate Gradient Method for Implicit Feedback
        Collaborative Filtering", RecSys
limits: all items and users fit in memory as vectors; items that nobody had score 0. Knows no order but recency.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from training.interactions import Interactions
from training.models.protocol import QUIET, Run
from training.models.sparse_rows import Fading, presence
from training.models.vectors import VectorPart

_ROWS: Final = 4096  # that are solved at a time


@dataclass(frozen=True, slots=True)
class AlsConfig:
    n_factors: int = 128
    n_iterations: int = 10  # 15 of two steps each: three times as long, Beauty's validation NDCG@10 +.0003 (SE .0011)
    alpha: float = 60.0  # what an interaction adds to the confidence 1 of a blank
    l2: float = 60.0
    fit_steps: int = 1  # of conjugate gradients, from the last iteration's solution
    request_steps: int = 6  # from zero
    seed: int = 0
    fading: Fading = field(default_factory=Fading)


class Als(VectorPart):
    """Buffer `vectors` float32 (n_items + 1, D): L⁻¹y, zero at padding and for items that nobody had."""

    name: ClassVar[str] = "als"
    event_weights: Tensor

    def __init__(self, n_items: int, config: AlsConfig | None = None) -> None:
        self.config = config or AlsConfig()
        super().__init__(n_items, self.config.n_factors)
        self.register_buffer("event_weights", torch.tensor(self.config.fading.event_weights))

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        config = self.config
        extra = strongest_event(data, np.array(config.fading.event_weights, np.float32)) * np.float32(config.alpha)
        of_users, of_items = blocks_of(extra), blocks_of(extra.T.tocsr())
        make = torch.Generator().manual_seed(config.seed)
        users, items = (torch.randn(n, config.n_factors, generator=make).mul_(0.01) for n in extra.shape)
        for iteration in range(config.n_iterations):
            self._solve(of_users, users, items)
            self._solve(of_items, items, users)
            run.progress((iteration + 1) / config.n_iterations)
        items[torch.from_numpy(extra.getnnz(axis=0) == 0)] = 0.0
        self.vectors = items @ self._root(items)[1].T
        return self

    def _solve(self, blocks: Sequence[Block], solved: Tensor, given: Tensor) -> None:
        """Overwrite the vectors `solved` (N, D) by the better ones for `given` (M, D)."""
        root, inverse = self._root(given)
        turned = given @ inverse.T
        for block in blocks:
            wanted = block.times(block.extra + 1.0, turned)
            start = solved[block.rows] @ root

            def beside(x: Tensor, block: Block = block) -> Tensor:
                return block.times(block.along(x, turned), turned)

            solved[block.rows] = conjugate_gradients(beside, wanted, start, self.config.fit_steps) @ inverse

    def _root(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """L and its inverse, (D, D), with L Lᵀ = YᵀY + λI."""
        gram = vectors.T @ vectors
        gram.diagonal().add_(self.config.l2)
        root = torch.linalg.cholesky(gram)
        return root, torch.linalg.inv(root)

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        present = presence(history_items, self.event_weights[history_events], history_age_days, self.config.fading)
        extra = present * self.config.alpha  # (B, L)
        vectors = self.vectors[history_items]  # (B, L, D)

        def times(weights: Tensor) -> Tensor:
            return torch.matmul(weights.unsqueeze(1), vectors).squeeze(1)

        def beside(x: Tensor) -> Tensor:
            return times((vectors * x.unsqueeze(1)).sum(dim=2) * extra)

        wanted = times(extra + (extra > 0))
        user = conjugate_gradients(beside, wanted, torch.zeros_like(wanted), self.config.request_steps)
        return user @ self.vectors.T


def conjugate_gradients(beside: Callable[[Tensor], Tensor], wanted: Tensor, start: Tensor, n_steps: int) -> Tensor:
    """x (B, D) with nearly x + beside(x) = wanted, after n_steps from `start`; wanted, start: (B, D)."""
    x, left = start, wanted - start - beside(start)
    direction, size = left, (left * left).sum(dim=1, keepdim=True)
    for steps_left in range(n_steps - 1, -1, -1):
        applied = direction + beside(direction)
        step = size / torch.clamp((direction * applied).sum(dim=1, keepdim=True), min=1e-12)
        x = x + step * direction
        if steps_left:
            left = left - step * applied
            before, size = size, (left * left).sum(dim=1, keepdim=True)
            direction = left + size / torch.clamp(before, min=1e-12) * direction
    return x


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a sparse matrix. starts (R + 1,), columns (nnz,) int32; extra (nnz,) float32: its values."""

    rows: slice
    starts: Tensor
    columns: Tensor
    extra: Tensor

    def times(self, values: Tensor, given: Tensor) -> Tensor:
        """(R, D): the matrix with these values (nnz,) times `given` (M, D)."""
        product: Tensor = torch.sparse.mm(self._matrix(values, given), given, "sum")
        return product

    def along(self, x: Tensor, given: Tensor) -> Tensor:
        """(nnz,): extra_ui (x_u · given_i)."""
        inside: Tensor = torch.sparse.sampled_addmm(self._matrix(self.extra, given), x, given.T, beta=0.0)
        return inside.values() * self.extra

    def _matrix(self, values: Tensor, given: Tensor) -> Tensor:
        shape = (len(self.starts) - 1, len(given))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch calls its sparse rows a beta
            return torch.sparse_csr_tensor(self.starts, self.columns, values, shape, check_invariants=False)


def blocks_of(matrix: sp.csr_matrix) -> list[Block]:
    """The matrix, so many rows at a time that the solver's vectors stay in the cache."""
    blocks = []
    for first in range(0, matrix.shape[0], _ROWS):
        part = matrix[first : first + _ROWS]
        arrays = (torch.from_numpy(array) for array in (part.indptr, part.indices, part.data))
        blocks.append(Block(slice(first, first + part.shape[0]), *arrays))
    return blocks


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
