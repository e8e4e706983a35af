"""SLIST, a closed-form model of what comes next: a ridge regression on the fading history, and on who had what.

    B = argmin Σ_t ‖y_t - h_t B‖² + s Σ_u ‖x_u - x_u B‖² + c Σ_f ‖f - f B‖² + λ ‖B‖²  with a zero diagonal
      = P M - P diag(γ),  P = (HᵀH + s XᵀX + c FFᵀ + λI)⁻¹,  M = HᵀY + s XᵀX + c FFᵀ,  γ_j = (P M)_jj / P_jj
    h_t = the history up to event t, weighted as at a request (`sparse_rows.py`)
    y_t = Σ_k decay^(k - 1) weight(event t + k) x_(t + k)         what followed it, near followers more than far ones
    x_u = all that a user had;  f = a word or attribute of the items, F has unit rows

Where EASE sees sets alone, this sees order, too; and where transitions count pairs, this knows which of two items of a
history explains the next one. Contents are c users more, each of whom had the items of one word.

source: Choi, Kim, Lee, Shim & Lee 2021, "Session-aware Linear Item-Item Models for Session-based Recommendation", WWW
        (SLIS and SLIT together); content as in `ease.py`
limits: as those of EASE: the inverse is dense, so it covers the `max_items` most frequent items, and keeps the
        strongest `n_neighbours` weights of each row. Events `window` steps apart, or more, do not see each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from fusionrec.feature_spec import DAY_MS
from training.interactions import Interactions
from training.models.ease import frequent_items, keep_dense, seen_matrix
from training.models.protocol import QUIET, Run
from training.models.sparse_rows import Fading, SparseRows

IntArray = npt.NDArray[np.int64]
_LEAST = 0.01  # weights below are taken for nothing


@dataclass(frozen=True, slots=True)
class SlistConfig:
    l2: float = 100.0  # λ, in interactions
    sets: float = 1.0  # s
    content: float = 0.0  # c, in interactions; used where the catalogue says something
    decay: float = 0.5  # of what followed, a step
    window: int = 20
    max_items: int = 12_288
    n_neighbours: int = 128
    fading: Fading = field(default_factory=Fading)


class Slist(SparseRows):
    name: ClassVar[str] = "slist"

    def __init__(self, n_items: int, config: SlistConfig | None = None) -> None:
        self.config = config or SlistConfig()
        super().__init__(n_items, self.config.fading)

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        config, seen = self.config, seen_matrix(data)
        head = frequent_items(seen, config.max_items)
        content = None if data.content is None or not config.content else data.content[head]
        gram, wanted = moments(
            histories(data, config)[:, head], followers(data, config)[:, head], seen[:, head], config
        )
        if content is not None:
            likes = torch.from_numpy((content @ content.T).toarray())
            gram.add_(likes, alpha=config.content)
            wanted.add_(likes, alpha=config.content)
            del likes  # as large as the two
        run.progress(0.3)
        device = run.device.torch_device
        weights = without_self(gram.to(device), wanted.to(device), config.l2).cpu()
        keep_dense(self, head, weights, config.n_neighbours)
        run.progress(1.0)
        return self


def histories(data: Interactions, config: SlistConfig) -> sp.csr_matrix:
    """h_t of every event that has a successor, float32 (N, n_items + 1), empty rows for the others.

    An item counts once, at its newest occurrence, as at a request.
    """
    fading, numbers = config.fading, np.arange(len(data))
    place, has_next = numbers - data.offsets[data.users], numbers + 1 < data.offsets[data.users + 1]
    again, own = next_occurrence(data), np.array(fading.event_weights, np.float32)[data.events]
    found: list[tuple[IntArray, IntArray, npt.NDArray[np.float32]]] = []
    for back in range(config.window):
        if 2.0 ** (-back / fading.half_life_steps) < _LEAST:
            break
        at = numbers[(place >= back) & has_next]
        at = at[again[at - back] > at]
        age = (data.sent_at[at] - data.sent_at[at - back]) / DAY_MS
        weights = own[at - back] * np.exp2(-age / fading.half_life_days - back / fading.half_life_steps)
        found.append((at, data.items[at - back], weights.astype(np.float32)))
    return _matrix(found, data)


def followers(data: Interactions, config: SlistConfig) -> sp.csr_matrix:
    """y_t of every event, float32 (N, n_items + 1)."""
    numbers, left = np.arange(len(data)), data.offsets[data.users + 1] - np.arange(len(data))
    worth = np.array(config.fading.event_weights, np.float32)[data.events]
    found: list[tuple[IntArray, IntArray, npt.NDArray[np.float32]]] = []
    for ahead in range(1, config.window):
        weight = np.float32(config.decay ** (ahead - 1))
        if weight < _LEAST:
            break
        at = numbers[left > ahead]
        found.append((at, data.items[at + ahead], weight * worth[at + ahead]))
    return _matrix(found, data)


def next_occurrence(data: Interactions) -> IntArray:
    """int64 (N,): where the same user next turns to the same item; N where that never happens."""
    order = np.lexsort((np.arange(len(data)), data.items, data.users))
    same = (np.diff(data.users[order]) == 0) & (np.diff(data.items[order]) == 0)
    again = np.full(len(data), len(data))
    again[order[:-1][same]] = order[1:][same]
    return again


def moments(
    before: sp.csr_matrix, after: sp.csr_matrix, seen: sp.csr_matrix, config: SlistConfig
) -> tuple[Tensor, Tensor]:
    """HᵀH + s XᵀX and HᵀY + s XᵀX, float32 (H, H). before, after: (N, H); seen: (U, H)."""
    together = seen.T @ seen * np.float32(config.sets)
    gram, wanted = ((before.T @ each + together).toarray().astype(np.float32) for each in (before, after))
    return torch.from_numpy(gram), torch.from_numpy(wanted)


def without_self(gram: Tensor, wanted: Tensor, l2: float) -> Tensor:
    """B, float32 (H, H), row = item of the history, with a zero diagonal. `gram` is overwritten."""
    gram.diagonal().add_(l2)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram, out=gram))
    weights: Tensor = inverse @ wanted
    weights.addcmul_(inverse, (weights.diagonal() / inverse.diagonal()).expand_as(weights), value=-1.0)
    return weights.fill_diagonal_(0.0)


def _matrix(found: list[tuple[IntArray, IntArray, npt.NDArray[np.float32]]], data: Interactions) -> sp.csr_matrix:
    rows, columns, values = (np.concatenate(each) for each in zip(*found, strict=True))
    return sp.csr_matrix((values, (rows, columns)), shape=(len(data), data.n_items + 1))
