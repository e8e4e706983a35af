"""The fused ranker: parts side by side, an additive gate, the mask, top-k. One module, one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from training.models.protocol import Part

N_SITUATION = 4
P = TypeVar("P", bound=Part)


class Gate(nn.Module):
    """How much each part counts in the user's situation: positive weights, float32 (B, P)."""

    def __init__(self, n_parts: int) -> None:
        super().__init__()
        self.linear = nn.Linear(N_SITUATION, n_parts)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, 0.54)  # softplus(0.54) = 1: all parts count alike before fitting

    def forward(self, situation: Tensor) -> Tensor:
        return nn.functional.softplus(self.linear(situation))


def situation(items: Tensor, age_days: Tensor) -> Tensor:
    """float32 (B, 4): log of history length, log of days since the last event, share of repeats, nothing known."""
    length = (items > 0).sum(dim=1).float()
    same = (items[:, :, None] == items[:, None, :]) & (items > 0)[:, :, None]
    distinct = (1.0 / torch.clamp(same.sum(dim=2).float(), min=1.0) * (items > 0)).sum(dim=1)
    repeats = 1.0 - distinct / torch.clamp(length, min=1.0)
    empty = (length < 0.5).float()
    return torch.stack(
        [torch.log1p(length) / 5.0, torch.log1p(age_days[:, -1]) / 5.0, repeats * (1.0 - empty), empty], dim=1
    )


class FusedRanker(nn.Module):
    """fused(i) = Σ_p gate_p · z_p(i), with z_p a part's scores standardised over the catalogue, for this user.

    The score that leaves the graph is log softmax of `fused`: base = -logsumexp(fused), the score of an item that
    every part finds average, and a contribution is gate_p · z_p(i).
    """

    def __init__(self, parts: Sequence[Part], gate: nn.Module, top_k: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.gate = gate
        self.n_items = parts[0].n_items
        self.top_k = min(top_k, self.n_items)

    @property
    def part_names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.parts)  # type: ignore[misc]

    def part(self, kind: type[P]) -> P:
        """The part of this kind. Raises StopIteration when there is none."""
        return next(part for part in self.parts if isinstance(part, kind))

    def standardised(self, items: Tensor, events: Tensor, age_days: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Raw scores (B, P, I + 1), and the mean and inverse spread of each part (B, P, 1)."""
        raw = torch.stack([part(items, events, age_days) for part in self.parts], dim=1)
        mean = raw.mean(dim=2, keepdim=True)
        centred = raw - mean
        spread = torch.sqrt((centred * centred).mean(dim=2, keepdim=True))
        return raw, mean, 1.0 / torch.clamp(spread, min=1e-6)

    def forward(
        self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor, eligible: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        raw, mean, scale = self.standardised(history_items, history_events, history_age_days)
        weights = self.gate(situation(history_items, history_age_days))[:, :, None] * scale  # (B, P, 1)
        fused = (raw * weights).sum(dim=1) - (mean * weights).sum(dim=1)  # (B, I + 1)
        base = -torch.logsumexp(fused, dim=1)
        masked = torch.where(eligible, fused, -torch.inf)
        top, items = torch.topk(masked, self.top_k, dim=1)
        picked = torch.gather(raw, 2, items[:, None, :].expand(-1, raw.shape[1], -1))  # (B, P, K)
        contributions = ((picked - mean) * weights).transpose(1, 2)
        return items, top + base[:, None], contributions, base
