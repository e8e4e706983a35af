"""The table that a fusion learns from: what each part said of the items it could have put first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.fusion.additive import in_history, situation
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests
from training.models.protocol import Progress, silent

BATCH = 64


class Candidates(NamedTuple):
    """One row a request, C candidates each.

    scores: float32 (R, P, C), standardised as in the ranker
    relevant: bool (R, C)
    situation: float32 (R, S)
    had: float32 (R, C), 1 where the candidate stands in the history
    """

    scores: Tensor
    relevant: Tensor
    situation: Tensor
    had: Tensor


def collect(
    ranker: FusedRanker,
    data: Interactions,
    requests: Requests,
    n_candidates: int,
    *,
    mask_seen: bool = False,
    progress: Progress = silent,
) -> Candidates:
    """Score requests with every part and keep the union of the parts' first items."""
    n_candidates = min(n_candidates, ranker.n_items)
    chunks = []
    for first in range(0, len(requests.users), BATCH):
        rows = np.arange(first, min(first + BATCH, len(requests.users)))
        chunks.append(_chunk(ranker, data, requests, rows, n_candidates, mask_seen))
        progress((first + len(rows)) / len(requests.users))
    return Candidates(*(torch.cat(column) for column in zip(*chunks, strict=True)))


@torch.inference_mode()
def _chunk(
    ranker: FusedRanker, data: Interactions, requests: Requests, rows: np.ndarray, n_candidates: int, mask_seen: bool
) -> Candidates:
    items, events, ages = (torch.from_numpy(array) for array in requests.inputs(data, rows))
    standardised = ranker.standardised(items, events, ages)
    chosen = union_of_first(barred(standardised, items if mask_seen else None), n_candidates)  # (B, C)
    scores = torch.gather(standardised, 2, chosen[:, None, :].expand(-1, standardised.shape[1], -1))
    relevant = torch.zeros(len(rows), ranker.n_items + 1, dtype=torch.bool)
    for row, request in enumerate(rows):
        relevant[row, torch.from_numpy(requests.relevant(data, int(request)))] = True
    had = torch.gather(in_history(items, ranker.n_items), 1, chosen)
    return Candidates(scores, torch.gather(relevant, 1, chosen), situation(items, ages), had)


def barred(scores: Tensor, seen: Tensor | None) -> Tensor:
    """Scores (B, P, I + 1) with -inf at padding and, if given, at the seen items (B, L)."""
    out = torch.zeros(scores.shape[0], scores.shape[2], dtype=torch.bool)
    out[:, 0] = True
    if seen is not None:
        out.scatter_(1, seen, True)
    return scores.masked_fill(out[:, None, :], -torch.inf)


def union_of_first(scores: Tensor, n: int) -> Tensor:
    """Distinct items int64 (B, n): those with the best rank in any part. scores: float32 (B, P, I + 1)."""
    best = torch.zeros(scores.shape[0], scores.shape[2])
    ranked = torch.topk(scores, n, dim=2).indices  # (B, P, n)
    priority = (1.0 / torch.arange(1, n + 1)).expand(scores.shape[0], -1).contiguous()
    for part in range(scores.shape[1]):
        best.scatter_reduce_(1, ranked[:, part], priority, "amax")
    return torch.topk(best, n, dim=1).indices
