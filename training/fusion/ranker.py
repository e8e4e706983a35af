"""The fused ranker: parts side by side, a fusion, the mask, top-k. One module, one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from training.fusion.additive import AdditiveFusion, situation
from training.models.protocol import Part

P = TypeVar("P", bound=Part)


class FusedRanker(nn.Module):
    """fused(i) = Σ_p contribution_p(i); the score that leaves the graph is its log softmax over the catalogue.

    So base = -logsumexp(fused) is the score of an item that every part finds average, and scores are comparable
    between users: log of the probability that the fusion gives to the item.
    """

    def __init__(self, parts: Sequence[Part], fusion: AdditiveFusion, top_k: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.fusion = fusion
        self.n_items = parts[0].n_items
        self.top_k = min(top_k, self.n_items)

    @property
    def part_names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.parts)  # type: ignore[misc]

    def part(self, kind: type[P]) -> P:
        """The part of this kind. Raises StopIteration when there is none."""
        return next(part for part in self.parts if isinstance(part, kind))

    def standardised(self, items: Tensor, events: Tensor, age_days: Tensor) -> Tensor:
        """float32 (B, P, I + 1): each part's scores with mean 0 and spread 1 over the catalogue, for this user."""
        raw = torch.stack([part(items, events, age_days) for part in self.parts], dim=1)
        centred = raw - raw.mean(dim=2, keepdim=True)
        spread = torch.sqrt((centred * centred).mean(dim=2, keepdim=True))
        standardised: Tensor = centred / torch.clamp(spread, min=1e-6)
        return standardised

    def forward(
        self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor, eligible: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        where = situation(history_items, history_age_days)
        standardised = self.standardised(history_items, history_events, history_age_days)
        real = torch.arange(self.n_items + 1, device=eligible.device) > 0
        fused = torch.where(real, self.fusion.catalogue(standardised, where, history_items), -torch.inf)  # (B, I + 1)
        base = -torch.logsumexp(fused, dim=1)
        top, items = torch.topk(torch.where(eligible, fused, -torch.inf), self.top_k, dim=1)
        picked = torch.gather(standardised, 2, items[:, None, :].expand(-1, standardised.shape[1], -1))
        had = (items[:, :, None] == history_items[:, None, :]).any(dim=2).float()  # (B, K)
        contributions = self.fusion(picked, where, had).transpose(1, 2)
        return items, top + base[:, None], contributions, base
