"""Item-to-item models: one sparse row of weights an item, summed over a weighted history. One piece for all of them.

    score(j) = Σ_h weight(event of h) · 2^(-age(h) / half-life in days - place(h) / half-life in steps) · W[h, j]

over the distinct items h of the history, each at its newest occurrence, with W cut to the strongest weights of a row,
so that a request costs L x N additions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from training.models.protocol import Part, newest_occurrence

_BLOCK = 1024  # rows at a time


@dataclass(frozen=True, slots=True)
class Fading:
    """How much an event of the history counts."""

    half_life_days: float = 60.0  # an event of this age weighs half
    half_life_steps: float = 100.0  # and so does one this far back
    event_weights: tuple[float, ...] = (0.0, 0.3, 0.5, 0.8, 1.0, 1.0, 0.0)  # by event code; padding and removal count 0


class Rows(nn.Module):
    """Buffers: row_of int64 (n_items + 1,) → row of `neighbours` int32 and `weights` float32 (n_rows + 1, N)."""

    row_of: Tensor
    neighbours: Tensor
    weights: Tensor

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.n_items = n_items
        self.register_buffer("row_of", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("neighbours", torch.zeros(1, 1, dtype=torch.int32))
        self.register_buffer("weights", torch.zeros(1, 1))

    def keep(self, head: npt.NDArray[np.int64], neighbours: Tensor, weights: Tensor) -> None:
        """Store rows. head: int64 (H,), their items; neighbours, weights: (H, N), item 0 with weight 0 = none."""
        self.row_of = torch.zeros(self.n_items + 1, dtype=torch.int64)
        self.row_of[torch.from_numpy(head)] = torch.arange(1, len(head) + 1)
        self.neighbours = torch.nn.functional.pad(neighbours.int(), (0, 0, 1, 0))
        self.weights = torch.nn.functional.pad(weights.float(), (0, 0, 1, 0))

    def keep_matrix(self, matrix: sp.csr_matrix, n_neighbours: int) -> None:
        """Store the largest positive weights of each row of (n_items + 1, n_items + 1), row = item of the history."""
        head = np.flatnonzero(np.diff(matrix.indptr))
        head = head[head > 0]
        n_neighbours = max(1, min(n_neighbours, matrix.shape[1] - 1))
        neighbours, weights = torch.zeros(len(head), n_neighbours).long(), torch.zeros(len(head), n_neighbours)
        for rows, values, columns in packed_blocks(matrix, head):
            best, places = strongest(values, min(n_neighbours, values.shape[1]))
            weights[rows, : best.shape[1]] = best
            neighbours[rows, : best.shape[1]] = torch.gather(columns, 1, places) * (best > 0)
        self.keep(head, neighbours, weights)

    def strengths(self, recent: Tensor, candidates: Tensor) -> Tensor:
        """W[recent, candidate], float32 (B, R, C), for int64 (B, R) and distinct int64 (B, C).

        Candidates get a place each; what a row says of other items is added to place 0 and forgotten.
        """
        n_batch, n_candidates = candidates.shape
        places = torch.arange(1, n_candidates + 1, device=candidates.device).expand(n_batch, -1)
        place_of = torch.zeros(n_batch, self.n_items + 1, dtype=torch.int64, device=candidates.device)
        place_of = place_of.scatter(1, candidates, places)
        rows = self.row_of[recent]
        columns = self.neighbours[rows].long()  # (B, R, N)
        at = torch.gather(place_of, 1, columns.flatten(1)).reshape(columns.shape)
        found = torch.zeros(n_batch, recent.shape[1], n_candidates + 1, device=candidates.device)
        return found.scatter_add(2, at, self.weights[rows])[:, :, 1:]


class SparseRows(Rows, Part):
    """A part whose score is the sum of the rows of the history's items."""

    n_strengths: ClassVar[int] = 1
    event_weights: Tensor

    def __init__(self, n_items: int, fading: Fading) -> None:
        super().__init__(n_items)
        self.fading = fading
        self.register_buffer("event_weights", torch.tensor(fading.event_weights))

    def between(self, recent: Tensor, candidates: Tensor) -> Tensor:
        return self.strengths(recent, candidates)[:, None]

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        present = presence(history_items, self.event_weights[history_events], history_age_days, self.fading)  # (B, L)
        rows = self.row_of[history_items]
        values = self.weights[rows] * present[:, :, None]  # (B, L, N)
        columns = self.neighbours[rows].long()
        scores = torch.zeros(history_items.shape[0], self.n_items + 1, device=history_items.device)
        return scores.scatter_add(1, columns.flatten(1), values.flatten(1))


def presence(items: Tensor, event_weights: Tensor, age_days: Tensor, fading: Fading) -> Tensor:
    """float32 (B, L): how much each event counts; only the newest of an item does. event_weights: (B, L)"""
    steps_back = torch.arange(items.shape[1] - 1, -1, -1, device=items.device)
    age = age_days / fading.half_life_days + steps_back / fading.half_life_steps
    return newest_occurrence(items) * event_weights * torch.exp2(-age)


def strongest(rows: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n largest positive weights of each row, (R, n), and their columns; 0 at column 0 where there are fewer."""
    best = torch.topk(rows, n, dim=1)
    positive = best.values > 0
    return best.values * positive, best.indices * positive


def packed_blocks(matrix: sp.csr_matrix, head: npt.NDArray[np.int64]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """These rows of the matrix without the blanks between, some at a time.

    Their places in head int64 (R,), their values float32 (R, longest) and columns int64 (R, longest), 0 after a row's
    end. Rows of about one length come together: a long row takes longer than a short one, and few rows are long.
    """
    lengths = np.diff(matrix.indptr)[head]
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), _BLOCK):
        rows = order[first : first + _BLOCK]
        block = matrix[head[rows]]
        filled = np.arange(lengths[rows[-1]]) < lengths[rows][:, None]
        values, columns = np.zeros(filled.shape, np.float32), np.zeros(filled.shape, np.int64)
        values[filled], columns[filled] = block.data, block.indices
        yield torch.from_numpy(rows), torch.from_numpy(values), torch.from_numpy(columns)


def alike(content: sp.csr_matrix, n: int, power: float = 1.0) -> sp.csr_matrix:
    """The n most alike other items of each item: cosine^power, float32 (n_items + 1, n_items + 1), zero diagonal."""
    other = content.T.tocsr()
    n = max(1, min(n, content.shape[0] - 1))
    values, columns = [], []
    for first in range(0, content.shape[0], _BLOCK):
        cosine = torch.from_numpy((content[first : first + _BLOCK] @ other).toarray())
        own = torch.arange(len(cosine))
        cosine[own, first + own] = 0.0
        best = strongest(cosine, n)
        values.append(best[0].pow(power))
        columns.append(best[1])
    starts = np.arange(content.shape[0] + 1) * n
    shape = (content.shape[0], content.shape[0])
    kept = sp.csr_matrix((torch.cat(values).numpy().ravel(), torch.cat(columns).numpy().ravel(), starts), shape=shape)
    kept.sum_duplicates()
    kept.eliminate_zeros()
    return kept
