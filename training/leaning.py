"""What the fusion leans on: each part's share in what lifts the items of a slate over the other candidates.

    share(p) = mean over the slate's first 10 items of  max(c_p, 0) / Σ_q max(c_q, 0)

c: what a part adds to an item's score, less its mean over all candidates (`centred` in fusion/ranker.py), which is what
`explain` shows. Taken on a sample of requests, since it asks the whole ranker again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from training.fusion.candidates import barred, batches, inputs_on
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests
from training.models.protocol import silent
from training.segments import Segment

_FIRST: Final = 10  # items of a slate
_MOST: Final = 500  # requests


def allowed_items(history_items: Tensor, n_items: int, *, mask_seen: bool) -> Tensor:
    """bool (B, n_items + 1): what may be shown to each, never the padding. history_items: int64 (B, L)"""
    blank = torch.zeros(len(history_items), 1, n_items + 1, device=history_items.device)
    return barred(blank, history_items if mask_seen else None)[:, 0] == 0


@torch.inference_mode()
def shares(ranker: FusedRanker, history: tuple[Tensor, ...], allowed: Tensor) -> Tensor:
    """Each part's share in the first items of each slate, float32 (B, P), rows that sum to 1; 0 where nothing lifts."""
    items, events, age_days = history
    _, scores, contributions, _ = ranker.answer(ranker.standardised(items, events, age_days), items, age_days, allowed)
    real = torch.isfinite(scores[:, :_FIRST, None])
    lifts = torch.clamp(contributions[:, :_FIRST], min=0.0) * real  # (B, 10, P)
    of_item = lifts / torch.clamp(lifts.sum(dim=2, keepdim=True), min=1e-9)
    lifted = (lifts.sum(dim=2, keepdim=True) > 0).float()
    return (of_item * lifted).sum(dim=1) / torch.clamp(lifted.sum(dim=1), min=1.0)


def leaning(
    ranker: FusedRanker, data: Interactions, requests: Requests, *, mask_seen: bool, seed: int = 0
) -> Mapping[str, float]:
    """Part → mean share over these requests, at most 500 of them, drawn at random."""
    drawn = np.random.default_rng(seed).permutation(len(requests.users))[:_MOST]
    sample, found = requests.take(np.sort(drawn)), []
    for rows in batches(sample, silent):
        arrays = inputs_on(ranker.device, data, sample, rows)
        found.append(shares(ranker, arrays, allowed_items(arrays[0], data.n_items, mask_seen=mask_seen)).cpu())
    return dict(zip(ranker.part_names, torch.cat(found).mean(dim=0).tolist(), strict=True))


def leaning_by_history(
    ranker: FusedRanker,
    data: Interactions,
    requests: Requests,
    cuts: Sequence[Segment],
    *,
    mask_seen: bool,
    seed: int = 0,
) -> Mapping[str, Mapping[str, float]]:
    """Name of the cut → its leaning, of those by the length of the history."""
    return {
        cut.name: leaning(ranker, data, requests.take(cut.rows), mask_seen=mask_seen, seed=seed)
        for cut in cuts
        if cut.kind == "history"
    }
