"""An additive fusion: what a part adds to an item's score depends on that part's score and the user's situation only.

contribution_p(i) = gate_p(situation) · ( shape_p(z_p(i)) + had(i) · habit_p(z_p(i)) )

had(i) is 1 when the item stands in the user's history: the same score of a part says something else of a habit than
of a discovery. Shapes are piecewise linear with shape_p(0) = 0, so an item that a part finds average gets nothing
from it, and the contributions are exact: no part's share depends on another's.

source: generalised additive models, Hastie & Tibshirani 1986; the gate as in Jacobs et al. 1991, mixtures of experts
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from training.models.protocol import newest_occurrence

N_SITUATION: Final = 4
N_KNOTS: Final = 6


class AdditiveFusion(nn.Module):
    """scale float32 (P, 1): the unit of a part's scores; knots (P, N_KNOTS), at least 0, where its shapes may bend.

    slopes (2, P, 1 + N_KNOTS): of shape and habit, first at 0, then the change at each knot.
    """

    knots: Tensor
    scale: Tensor

    def __init__(self, n_parts: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(n_parts, 1))
        self.register_buffer("knots", torch.arange(1.0, N_KNOTS + 1).expand(n_parts, -1).clone())
        self.slopes = nn.Parameter(torch.zeros(2, n_parts, 1 + N_KNOTS))
        self.gate = nn.Linear(N_SITUATION, n_parts, bias=False)
        nn.init.zeros_(self.gate.weight)
        nn.init.ones_(self.slopes[0, :, 0])  # before fitting, all parts count alike, as they are

    def weights(self, situation: Tensor) -> Tensor:
        """How much each part counts, positive, float32 (B, P)."""
        return torch.exp(self.gate(situation))

    def forward(self, standardised: Tensor, situation: Tensor, had: Tensor) -> Tensor:
        """Contributions float32 (B, P, C) of standardised scores (B, P, C); had: float32 (B, C), 0 or 1."""
        shaped = self._bend(standardised, 0) + self._bend(standardised, 1) * had[:, None, :]
        return shaped * self.weights(situation)[:, :, None]

    def catalogue(self, standardised: Tensor, situation: Tensor, items: Tensor) -> Tensor:
        """The sum of the contributions for the whole catalogue, float32 (B, I + 1), given the history (B, L).

        Habits are added where the history stands: a second pass over 100,000 items would cost as much as the first.
        """
        weights = self.weights(situation)[:, :, None]
        fused = (self._bend(standardised, 0) * weights).sum(dim=1)
        own = torch.gather(standardised, 2, items[:, None, :].expand(-1, standardised.shape[1], -1))  # (B, P, L)
        habits = (self._bend(own, 1) * weights).sum(dim=1) * newest_occurrence(items)
        return fused.scatter_add(1, items, habits)

    def _bend(self, standardised: Tensor, kind: int) -> Tensor:
        """shape (kind 0) or habit (kind 1) of every score, (B, P, C)."""
        slopes, scaled = self.slopes[kind], standardised / self.scale
        total = scaled * slopes[:, :1]
        for knot in range(N_KNOTS):
            above = torch.relu(scaled - self.knots[:, knot : knot + 1])
            total = total + above * slopes[:, knot + 1 : knot + 2]
        return total


def situation(items: Tensor, age_days: Tensor) -> Tensor:
    """float32 (B, 4): log of history length, log of days since the last event, share of repeats, nothing known."""
    real = items > 0
    length = real.sum(dim=1).float()
    same = ((items[:, :, None] == items[:, None, :]) & real[:, :, None]).float().sum(dim=2)
    distinct = (real / torch.clamp(same, min=1.0)).sum(dim=1)
    known = torch.clamp(length, max=1.0)
    repeats = known - distinct / torch.clamp(length, min=1.0)
    recency = torch.log1p(age_days[:, -1]) / 5.0
    return torch.stack([torch.log1p(length) / 5.0, recency, repeats, 1.0 - known], dim=1)


def in_history(items: Tensor, n_items: int) -> Tensor:
    """float32 (B, n_items + 1): 1 where the item stands in the history (B, L)."""
    none = torch.zeros(items.shape[0], n_items + 1, device=items.device)
    return none.scatter(1, items, torch.ones_like(items, dtype=torch.float32))
