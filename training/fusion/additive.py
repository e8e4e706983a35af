"""An additive fusion: what a part adds to an item's score depends on that part's score and the user's situation only.

contribution_p(i) = gate_p(situation) · shape_p(z_p(i))

shape_p is piecewise linear with shape_p(0) = 0, so an item that a part finds average gets nothing from it, and the
contributions are exact: no part's share depends on another's.

source: generalised additive models, Hastie & Tibshirani 1986; the gate as in Jacobs et al. 1991, mixtures of experts
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

N_SITUATION: Final = 4
N_KNOTS: Final = 6


class AdditiveFusion(nn.Module):
    """knots float32 (P, N_KNOTS), at least 0, where a shape may bend; slopes (P, 1 + N_KNOTS)."""

    knots: Tensor

    def __init__(self, n_parts: int) -> None:
        super().__init__()
        self.register_buffer("knots", torch.arange(1.0, N_KNOTS + 1).expand(n_parts, -1).clone())
        self.slopes = nn.Parameter(torch.cat([torch.ones(n_parts, 1), torch.zeros(n_parts, N_KNOTS)], dim=1))
        self.gate = nn.Linear(N_SITUATION, n_parts)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, 0.5413)  # softplus(0.5413) = 1: before fitting, all parts count alike

    def weights(self, situation: Tensor) -> Tensor:
        """How much each part counts, positive, float32 (B, P)."""
        return nn.functional.softplus(self.gate(situation))

    def forward(self, standardised: Tensor, situation: Tensor) -> Tensor:
        """Contributions float32 (B, P, C) of the parts' standardised scores (B, P, C)."""
        bent = standardised * self.slopes[:, :1]
        for knot in range(N_KNOTS):
            above = torch.relu(standardised - self.knots[:, knot : knot + 1])
            bent = bent + above * self.slopes[:, knot + 1 : knot + 2]
        return bent * self.weights(situation)[:, :, None]


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
