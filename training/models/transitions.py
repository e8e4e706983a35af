"""Transitions: what follows an item in the histories, near followers more than far ones.

    A[i, j] = Σ over pairs of one history, i before j, g steps apart:  weight(event of j) · decay^(g - 1)
    A ← A + backwards · Aᵀ
    A ← A + S A + A Sᵀ     where texts exist and items are rare: S is cosine^4 of the contents, rows sum to 1
    W[i, j] = A[i, j] · (Σ_k A[i, k])^-row_power · (Σ_k A[k, j])^-column_power

The last line tames items that many things follow, and items that follow everything. Smoothing lends a rare item what
was seen of items like it.

source: co-visitation with gap weights as in Cooley, Mobasher & Srivastava 1999 and the winners of the OTTO challenge
        2022; powers as in Christoffel et al. 2015, "Blockbusters and Wallflowers", RecSys (RP3beta)
limits: pairs `window` steps apart, or more, are not seen; removals are neither i nor j; memory grows with the number
        of distinct pairs; the order within one basket is taken as it stands in the data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from training.interactions import IntArray, Interactions
from training.models.protocol import QUIET, Run
from training.models.sparse_rows import Fading, Rows, SparseRows, alike


@dataclass(frozen=True, slots=True)
class TransitionsConfig:
    window: int = 20
    decay: float = 0.8
    backwards: float = 0.3
    row_power: float = 0.5
    column_power: float = 0.25
    n_neighbours: int = 128
    n_successors: int = 32  # of an item, counted for the fusion
    n_alike: int = 0  # similar items that lend their transitions; 0: no smoothing
    fading: Fading = field(default_factory=Fading)


class Transitions(SparseRows):
    """Tells two strengths between items: W, and log(1 + times that one came right after the other)."""

    name: ClassVar[str] = "transitions"
    n_strengths: ClassVar[int] = 2

    def __init__(self, n_items: int, config: TransitionsConfig | None = None) -> None:
        self.config = config or TransitionsConfig()
        super().__init__(n_items, self.config.fading)
        self.successions = Rows(n_items)

    def between(self, recent: Tensor, candidates: Tensor) -> Tensor:
        return torch.stack([self.strengths(recent, candidates), self.successions.strengths(recent, candidates)], dim=1)

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        return self.settle(follow(data, self.config), successions(data), data.content, run)

    def settle(
        self, followers: sp.csr_matrix, times: sp.csr_matrix, content: sp.csr_matrix | None, run: Run = QUIET
    ) -> Self:
        """The part from what was counted: `follow` and `successions`, which are sums over users."""
        self.successions.keep_matrix(times.log1p(), self.config.n_successors)
        run.progress(0.5)
        if self.config.n_alike and content is not None:
            lenders = rows_to_one(alike(content, self.config.n_alike, power=4.0))
            followers = followers + lenders @ followers + followers @ lenders.T
            run.progress(0.8)
        followers = sp.csr_matrix(followers)
        followers.setdiag(0.0)  # lenders would let an item follow itself
        followers.eliminate_zeros()
        tamed = powers(followers, self.config.row_power, self.config.column_power)
        self.keep_matrix(tamed, self.config.n_neighbours)
        run.progress(1.0)
        return self


def follow(data: Interactions, config: TransitionsConfig) -> sp.csr_matrix:
    """A before smoothing, float32 (n_items + 1, n_items + 1); the diagonal is empty."""
    shape = (data.n_items + 1, data.n_items + 1)
    strength = np.array(config.fading.event_weights, np.float32)[data.events]
    users, chosen = data.users, data.chosen
    none = np.zeros(0, np.int64)
    total = sp.csr_matrix((np.zeros(0, np.float32), (none, none)), shape=shape)
    for gap in range(1, config.window):
        pairs = np.flatnonzero(_pairs(data.items, users, chosen, gap))
        if not len(pairs):
            continue
        weights = strength[pairs + gap] * np.float32(config.decay ** (gap - 1))
        total = total + sp.csr_matrix((weights, (data.items[pairs], data.items[pairs + gap])), shape=shape)
    return sp.csr_matrix(total + config.backwards * total.T)


def successions(data: Interactions) -> sp.csr_matrix:
    """How often an item came right after another, float32 (n_items + 1, n_items + 1)."""
    pairs = np.flatnonzero(_pairs(data.items, data.users, data.chosen, 1))
    shape = (data.n_items + 1, data.n_items + 1)
    counts = sp.csr_matrix((np.ones(len(pairs), np.float32), (data.items[pairs], data.items[pairs + 1])), shape=shape)
    counts.sum_duplicates()
    return counts


def _pairs(items: IntArray, users: IntArray, chosen: npt.NDArray[np.bool_], gap: int) -> npt.NDArray[np.bool_]:
    """bool (N - gap,): where an interaction and the one so many steps later are two items of one user, none removed."""
    both = chosen[gap:] & chosen[:-gap]
    pairs: npt.NDArray[np.bool_] = (users[gap:] == users[:-gap]) & (items[gap:] != items[:-gap]) & both
    return pairs


def powers(matrix: sp.csr_matrix, row: float, column: float) -> sp.csr_matrix:
    """Divided by the sums of rows and columns, to these powers."""
    of_rows, of_columns = (np.asarray(matrix.sum(axis=axis)).ravel() for axis in (1, 0))
    left, right = (
        sp.diags(np.where(sums > 0, sums, 1.0).astype(np.float32) ** np.float32(-power))
        for sums, power in ((of_rows, row), (of_columns, column))
    )
    return sp.csr_matrix(left @ matrix @ right)


def rows_to_one(matrix: sp.csr_matrix) -> sp.csr_matrix:
    return powers(matrix, 1.0, 0.0)
