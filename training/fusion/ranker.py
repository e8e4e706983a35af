"""The fused ranker: parts side by side, two stages of fusion, the mask, top-k. One module, one ONNX graph.

The first stage adds up the parts over the whole catalogue (`additive.py`) and keeps the K best eligible items. The
second, where there is one, weighs these K against each other (`stacker.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from training.fusion.additive import AdditiveFusion, situation
from training.fusion.evidence import Evidence, gather_evidence
from training.fusion.facts import ItemFacts
from training.fusion.stacker import Ensemble
from training.models.protocol import Part

P = TypeVar("P", bound=Part)
_LOWEST = -1e30  # instead of -inf where a logarithm of a sum would become NaN


class Candidates(NamedTuple):
    """What the first stage lets through, best first.

    items:  int64 (B, K); scores: float32 (B, K), -inf where fewer than K items were eligible
    added:  float32 (B, P, K), the parts' contributions to the scores
    parts:  float32 (B, P, K), the parts' standardised scores
    mass:   float32 (B,), logarithm of the sum of exp(score) over the whole catalogue
    """

    items: Tensor
    scores: Tensor
    added: Tensor
    parts: Tensor
    mass: Tensor

    @property
    def real(self) -> Tensor:
        return self.scores > _LOWEST


class SecondStage(nn.Module):
    """The stacker and the facts of the items that it looks up."""

    def __init__(self, stacker: Ensemble, facts: ItemFacts) -> None:
        super().__init__()
        self.stacker, self.facts = stacker, facts


class FusedRanker(nn.Module):
    """fused(i) = Σ_p contribution_p(i); the score that leaves the graph is the log of the probability of the item.

    So scores are comparable between users. The first stage gives the K candidates their share of the probability; the
    second, or the first again where there is no other, divides it among them. A contribution is what a part adds to an
    item beyond the average candidate, and `base` the score of an item that no part tells from that one. Measured from
    there the numbers are small: from zero they run into hundreds, whose sum float32 does not know to 1e-5.
    """

    def __init__(
        self, parts: Sequence[Part], fusion: AdditiveFusion, top_k: int, second: SecondStage | None = None
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.fusion = fusion
        self.second = second
        self.n_items = parts[0].n_items
        self.top_k = min(top_k, self.n_items)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.fusion.scale.device

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

    def first_scores(self, standardised: Tensor, items: Tensor, age_days: Tensor) -> Tensor:
        """The logarithms of the first stage's probabilities, float32 (B, I + 1), -inf at padding."""
        fused = self.first_stage(standardised, items, age_days)
        return fused - torch.logsumexp(fused, dim=1, keepdim=True)

    def first_stage(self, standardised: Tensor, items: Tensor, age_days: Tensor) -> Tensor:
        """Fused scores float32 (B, I + 1) of the catalogue, -inf at padding."""
        fused = self.fusion.catalogue(standardised, situation(items, age_days), items)
        return torch.where(torch.arange(self.n_items + 1, device=items.device) > 0, fused, -torch.inf)

    def candidates(self, standardised: Tensor, items: Tensor, age_days: Tensor, eligible: Tensor) -> Candidates:
        """The K best eligible items of the first stage. eligible: bool (B, I + 1)."""
        fused = self.first_stage(standardised, items, age_days)
        scores, chosen = torch.topk(torch.where(eligible, fused, -torch.inf), self.top_k, dim=1)
        parts = torch.gather(standardised, 2, chosen[:, None, :].expand(-1, standardised.shape[1], -1))
        had = (chosen[:, :, None] == items[:, None, :]).any(dim=2).float()  # (B, K)
        added = self.fusion(parts, situation(items, age_days), had)
        return Candidates(chosen, scores, added, parts, torch.logsumexp(fused, dim=1))

    def evidence(self, facts: Tensor, found: Candidates, items: Tensor, age_days: Tensor) -> Evidence:
        """What the second stage is told of the candidates."""
        parts: list[Part] = list(self.parts)  # type: ignore[arg-type]
        return gather_evidence(parts, facts, (items, age_days), found.items, found.parts, found.added, found.real)

    def forward(
        self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor, eligible: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        standardised = self.standardised(history_items, history_events, history_age_days)
        return self.answer(standardised, history_items, history_age_days, eligible)

    def answer(
        self, standardised: Tensor, items: Tensor, age_days: Tensor, eligible: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """items int64 (B, K), best first, scores (B, K), contributions (B, K, P), base (B,)."""
        found = self.candidates(standardised, items, age_days, eligible)
        added = found.added
        if self.second is not None:
            added = self.second.stacker(self.evidence(self.second.facts.table, found, items, age_days))
        contributions = centred(added, found.real)  # (B, P, K)
        total = torch.where(found.real, contributions.sum(dim=1), _LOWEST)
        share = torch.logsumexp(torch.clamp(found.scores, min=_LOWEST), dim=1) - found.mass
        base = share - torch.logsumexp(total, dim=1)
        scores, order = torch.topk(torch.where(found.real, total + base[:, None], -torch.inf), self.top_k, dim=1)
        ordered = torch.gather(contributions, 2, order[:, None, :].expand(-1, contributions.shape[1], -1))
        return torch.gather(found.items, 1, order), scores, ordered.transpose(1, 2), base

    def catalogue(self, standardised: Tensor, items: Tensor, age_days: Tensor, eligible: Tensor) -> Tensor:
        """Scores float32 (B, I + 1) of all items, for evaluation: what is no candidate comes after all candidates."""
        scores = self.first_scores(standardised, items, age_days)
        if self.second is None:
            return scores
        chosen, second, _, _ = self.answer(standardised, items, age_days, eligible)
        real = second > _LOWEST
        lowest = torch.where(real, second, torch.inf).amin(dim=1, keepdim=True)
        rest = scores.masked_fill(~eligible, -torch.inf).scatter(1, chosen, -torch.inf).amax(dim=1, keepdim=True)
        scores = scores - torch.clamp(rest - lowest + 1e-3, min=0.0)
        return scores.scatter(1, chosen, torch.where(real, second, torch.gather(scores, 1, chosen)))


def centred(contributions: Tensor, real: Tensor) -> Tensor:
    """Contributions (B, P, K) less their mean over the real candidates, 0 at the others."""
    weight = real.float()[:, None, :]
    mean = (contributions * weight).sum(dim=2, keepdim=True) / torch.clamp(weight.sum(dim=2, keepdim=True), min=1.0)
    return (contributions - mean) * weight
