"""Item-to-item lists of a bundle: what is like an item, and what goes with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from training.interactions import Interactions
from training.models.ease import Ease, seen_matrix

Neighbours = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


def nearest_by_vectors(vectors: npt.NDArray[np.float32], n: int) -> Neighbours:
    """The items with the most similar vectors (cosine).

    vectors: float32 (n_items + 1, D), row 0 is padding
    returns: int32 and float32 (n_items + 1, n), nearest first; 0 = none
    """
    unit = torch.nn.functional.normalize(torch.from_numpy(vectors[1:]), dim=1)
    rows = [_top(chunk @ unit.T, n, first) for first, chunk in _chunks(unit)]
    return _stack(rows, len(vectors), n)


def strongest_weights(ease: Ease, n: int, data: Interactions | None = None) -> Neighbours:
    """The items that an item argues for most in EASE: what is bought beside it. Shapes as above.

    data: given, only pairs that a user had together are kept, since content in EASE's gram argues for others too
    """
    columns, weights = ease.neighbours[ease.row_of], ease.weights[ease.row_of]
    if data is not None:
        seen = seen_matrix(data)
        met = sp.csr_matrix(seen.T @ seen)
        rows = np.repeat(np.arange(len(columns)), columns.shape[1])
        together = np.asarray(met[rows, columns.numpy().ravel()]).reshape(columns.shape)
        weights = weights * torch.from_numpy(together > 0)
    best = torch.topk(weights, min(n, weights.shape[1]), dim=1)
    items = torch.gather(columns, 1, best.indices).masked_fill(best.values <= 0, 0)
    return _pad(items, best.values.clamp(min=0.0), n)


def _chunks(unit: torch.Tensor, size: int = 1024) -> list[tuple[int, torch.Tensor]]:
    return [(first, unit[first : first + size]) for first in range(0, len(unit), size)]


def _top(cosine: torch.Tensor, n: int, first: int) -> tuple[torch.Tensor, torch.Tensor]:
    own = torch.arange(len(cosine))
    cosine[own, first + own] = -torch.inf
    best = torch.topk(cosine, min(n, cosine.shape[1] - 1), dim=1)
    return best.indices + 1, best.values


def _stack(rows: list[tuple[torch.Tensor, torch.Tensor]], n_rows: int, n: int) -> Neighbours:
    items, scores = (torch.cat([row[place] for row in rows]) for place in (0, 1))
    padding = (1, 0)
    items, scores = (torch.nn.functional.pad(array, (0, 0, *padding)) for array in (items, scores))
    if len(items) != n_rows:
        raise AssertionError(f"{len(items)} rows of neighbours for {n_rows} items")
    return _pad(items, scores, n)


def _pad(items: torch.Tensor, scores: torch.Tensor, n: int) -> Neighbours:
    """Fill short lists with 0 up to n columns."""
    missing = (0, n - items.shape[1])
    padded = (torch.nn.functional.pad(array, missing).numpy() for array in (items, scores))
    return next(padded).astype(np.int32), next(padded).astype(np.float32)
