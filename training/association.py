"""How far a score tells the outcome, over the whole catalogue and not only its first places."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_PAIRS: Final = 512  # compared with the catalogue at a time


def auc(scores: Tensor, allowed: Tensor, relevant: Tensor) -> Tensor:
    """The share of pairs of a relevant and another item that the score puts in the right order, float64 (B,).

    Equal scores count half. scores: float32 (B, I); allowed: bool, what may be shown, the rest is left out; relevant:
    bool. 0.5 (chance) for a row in which no pair can be made. Twice this minus 1 is the rank-biserial correlation.

    >>> scores = torch.tensor([[0.1, 0.4, 0.3, 0.9]])
    >>> round(auc(scores, scores > 0, scores == 0.4).item(), 4)  # above 0.1 and 0.3, below 0.9
    0.6667
    """
    relevant = relevant & allowed
    n_relevant, n_others = relevant.sum(dim=1).double(), (allowed & ~relevant).sum(dim=1).double()
    held = scores.masked_fill(~allowed, torch.inf)  # above everything: neither lower nor equal
    rank_sum = torch.zeros(len(scores), dtype=torch.float64, device=scores.device)
    pairs = relevant.nonzero()
    for first in range(0, len(pairs), _PAIRS):
        rows, items = pairs[first : first + _PAIRS].T
        own, all_of_row = scores[rows, items][:, None], held[rows]
        lower, equal = (all_of_row < own).sum(dim=1), (all_of_row == own).sum(dim=1)
        rank_sum.index_add_(0, rows, lower.double() + (equal.double() + 1) / 2)
    ordered = rank_sum - n_relevant * (n_relevant + 1) / 2
    n_pairs = n_relevant * n_others
    return torch.where(n_pairs > 0, ordered / n_pairs.clamp(min=1), 0.5)


def correlation(scores: Tensor, allowed: Tensor, relevant: Tensor) -> Tensor:
    """Point-biserial: Pearson's correlation of score and relevance (1 or 0) over the allowed items, float64 (B,).

    An item without a finite score counts as the lowest finite one. 0 where score or relevance does not vary. With one
    relevant item among thousands it is small even for a good model: compare models, not data sets.

    >>> scores = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
    >>> round(correlation(scores, scores > 0, scores == 6.0).item(), 4)  # (6 - 3) · √(¼ / ¾) / √3.5
    0.9258
    """
    relevant = relevant & allowed
    finite = allowed & torch.isfinite(scores)
    lowest = scores.masked_fill(~finite, torch.inf).min(dim=1, keepdim=True).values
    values = torch.where(finite, scores, torch.where(torch.isfinite(lowest), lowest, 0.0)).double()
    n = allowed.sum(dim=1).double().clamp(min=1)
    mean = (values * allowed).sum(dim=1) / n
    spread = (((values - mean[:, None]) ** 2 * allowed).sum(dim=1) / n).sqrt()
    n_relevant = relevant.sum(dim=1).double()
    gap = (values * relevant).sum(dim=1) / n_relevant.clamp(min=1) - mean
    odds = (n_relevant / (n - n_relevant).clamp(min=1)).sqrt()
    varies = (n_relevant > 0) & (n_relevant < n) & (spread > 0)
    return torch.where(varies, gap * odds / spread.clamp(min=1e-12), 0.0)
