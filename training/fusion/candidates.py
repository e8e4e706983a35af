"""The tables that the two stages of a fusion learn from: what was said of the items that could have come first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.devices import CPU
from training.fusion.additive import in_history, situation
from training.fusion.evidence import Evidence
from training.fusion.facts import ItemFacts
from training.fusion.ranker import FusedRanker
from training.interactions import IntArray, Interactions, Requests
from training.models.protocol import Progress, silent

BATCH = 64


class PartScores(NamedTuple):
    """One row a request, C candidates each: what the first stage learns from.

    scores: float32 (R, P, C), standardised as in the ranker
    relevant: bool (R, C)
    situation: float32 (R, S)
    had: float32 (R, C), 1 where the candidate stands in the history
    """

    scores: Tensor
    relevant: Tensor
    situation: Tensor
    had: Tensor


class EvidenceTable(NamedTuple):
    """One row a request that has a relevant candidate: what the second stage learns from. Halves, to fit into memory.

    told, shared, user: as in `Evidence`, float16
    relevant: bool (R, C); real: bool (R, C), False where fewer items were eligible
    users: int64 (R,)
    n_relevant: int64 (R,), relevant items, among the candidates or not
    """

    told: Tensor
    shared: Tensor
    user: Tensor
    relevant: Tensor
    real: Tensor
    users: Tensor
    n_relevant: Tensor

    def rows(self, chosen: Tensor) -> EvidenceTable:
        return EvidenceTable(*(column[chosen] for column in self))

    def evidence(self) -> Evidence:
        return Evidence(self.told.float(), self.shared.float(), self.user.float())


def tabulate(
    ranker: FusedRanker,
    facts: ItemFacts,
    data: Interactions,
    requests: Requests,
    *,
    mask_seen: bool = False,
    progress: Progress = silent,
) -> EvidenceTable:
    """The evidence on the first stage's candidates of every request, relevant found or not."""
    chunks = [_evidence_chunk(ranker, facts, data, requests, rows, mask_seen) for rows in batches(requests, progress)]
    return EvidenceTable(*(torch.cat(column) for column in zip(*chunks, strict=True)))


@torch.inference_mode()
def _evidence_chunk(
    ranker: FusedRanker, facts: ItemFacts, data: Interactions, requests: Requests, rows: IntArray, mask_seen: bool
) -> EvidenceTable:
    items, events, ages = inputs_on(ranker.device, data, requests, rows)
    eligible = torch.ones(len(rows), ranker.n_items + 1, dtype=torch.bool, device=ranker.device)
    if mask_seen:
        eligible.scatter_(1, items, False)
    found = ranker.candidates(ranker.standardised(items, events, ages), items, ages, eligible)
    evidence = ranker.evidence(facts.table.to(ranker.device), found, items, ages)
    relevant = relevant_items(data, requests, rows).to(ranker.device)
    hits = torch.gather(relevant, 1, found.items) & found.real
    users = torch.from_numpy(requests.users[rows])
    told, shared, user = (table.half() for table in evidence)
    return CPU.moved(EvidenceTable(told, shared, user, hits, found.real, users, relevant.sum(dim=1)))


def collect(
    ranker: FusedRanker,
    data: Interactions,
    requests: Requests,
    n_candidates: int,
    *,
    mask_seen: bool = False,
    progress: Progress = silent,
) -> PartScores:
    """Score requests with every part and keep the union of the parts' first items."""
    n_candidates = min(n_candidates, ranker.n_items)
    chunks = [_chunk(ranker, data, requests, rows, n_candidates, mask_seen) for rows in batches(requests, progress)]
    return PartScores(*(torch.cat(column) for column in zip(*chunks, strict=True)))


@torch.inference_mode()
def _chunk(
    ranker: FusedRanker, data: Interactions, requests: Requests, rows: IntArray, n_candidates: int, mask_seen: bool
) -> PartScores:
    items, events, ages = inputs_on(ranker.device, data, requests, rows)
    standardised = ranker.standardised(items, events, ages)
    chosen = union_of_first(barred(standardised, items if mask_seen else None), n_candidates)  # (B, C)
    scores = torch.gather(standardised, 2, chosen[:, None, :].expand(-1, standardised.shape[1], -1))
    relevant = relevant_items(data, requests, rows).to(ranker.device)
    had = torch.gather(in_history(items, ranker.n_items), 1, chosen)
    return CPU.moved(PartScores(scores, torch.gather(relevant, 1, chosen), situation(items, ages), had))


def inputs_on(device: torch.device, data: Interactions, requests: Requests, rows: IntArray) -> tuple[Tensor, ...]:
    """The ranker's inputs for some requests: items, events, age_days, each (B, L)."""
    return tuple(torch.from_numpy(array).to(device) for array in requests.inputs(data, rows))


def batches(requests: Requests, progress: Progress) -> Iterator[IntArray]:
    """The requests' rows, some at a time; progress is told when a batch is done."""
    for first in range(0, len(requests.users), BATCH):
        rows = np.arange(first, min(first + BATCH, len(requests.users)))
        yield rows
        progress((first + len(rows)) / len(requests.users))


def relevant_items(data: Interactions, requests: Requests, rows: IntArray) -> Tensor:
    """bool (B, n_items + 1): what each of these users turned to next."""
    relevant = torch.zeros(len(rows), data.n_items + 1, dtype=torch.bool)
    for place, row in enumerate(rows):
        relevant[place, torch.from_numpy(requests.relevant(data, int(row)))] = True
    return relevant


def barred(scores: Tensor, seen: Tensor | None) -> Tensor:
    """Scores (B, P, I + 1) with -inf at padding and, if given, at the seen items (B, L)."""
    out = torch.zeros(scores.shape[0], scores.shape[2], dtype=torch.bool, device=scores.device)
    out[:, 0] = True
    if seen is not None:
        out.scatter_(1, seen, True)
    return scores.masked_fill(out[:, None, :], -torch.inf)


def union_of_first(scores: Tensor, n: int) -> Tensor:
    """Distinct items int64 (B, n): those with the best rank in any part. scores: float32 (B, P, I + 1)."""
    best = torch.zeros(scores.shape[0], scores.shape[2], device=scores.device)
    ranked = torch.topk(scores, n, dim=2).indices  # (B, P, n)
    priority = (1.0 / torch.arange(1, n + 1, device=scores.device)).expand(scores.shape[0], -1).contiguous()
    for part in range(scores.shape[1]):
        best.scatter_reduce_(1, ranked[:, part], priority, "amax")
    return torch.topk(best, n, dim=1).indices
