"""What the second stage weighs: for each candidate what each part says of it, and what sort of user asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from training.fusion.additive import in_history, situation
from training.fusion.facts import N_FACTS
from training.models.protocol import Part

RECENT: Final = 6  # newest items of the history that are looked at one by one
N_VIEWS: Final = 5  # of a strength: of the newest item, of the second and third newest, the largest, the mean
N_SHARED: Final = N_FACTS + 1  # what every part is told of a candidate: its facts, and if it stands in the history;
# and one more where prices are known, how the candidate's fits


class Evidence(NamedTuple):
    """B requests, P parts, C candidates.

    told:   float32 (B, P, C, T), zero where a part has nothing to tell
    shared: float32 (B, C, N_SHARED), or N_SHARED + 1 where the facts tell prices
    user:   float32 (B, S)
    """

    told: Tensor
    shared: Tensor
    user: Tensor


def width_of(parts: Sequence[Part]) -> int:
    """T: two views of a part's score, and N_VIEWS of each kind of strength."""
    return 2 + N_VIEWS * max(part.n_strengths for part in parts)


def width_of_user(n_parts: int) -> int:
    """S, see `_user`."""
    return 4 + 2 + 2 * N_FACTS + 2 * n_parts


def gather_evidence(
    parts: Sequence[Part],
    facts: Tensor,
    history: tuple[Tensor, Tensor],
    candidates: Tensor,
    scores: Tensor,
    added: Tensor,
    real: Tensor,
) -> Evidence:
    """The evidence of one batch.

    facts:      float32 (I + 1, N_FACTS), or N_FACTS + 1 with log prices
    history:    items int64 and age_days float32, (B, L)
    candidates: int64 (B, C), distinct
    scores:     float32 (B, P, C), the parts' standardised scores; added: what the first stage made of them
    real:       bool (B, C), False for candidates that only fill the row
    """
    items, age_days = history
    z = standard(scores, real)
    recent = torch.nn.functional.pad(items, (RECENT, 0))[:, -RECENT:]
    n_known = torch.clamp((recent > 0).sum(dim=1), min=1).float()[:, None, None, None]
    told = []
    width = width_of(parts)
    for place, part in enumerate(parts):
        own = [z[:, place], added[:, place]]
        if part.n_strengths:
            strengths = part.between(recent, candidates) * (recent > 0).float()[:, None, :, None]  # (B, M, R, C)
            views = [strengths[:, :, -1 - back] for back in range(3)]
            views += [strengths.amax(dim=2), strengths.sum(dim=2) / n_known[:, :, 0]]
            own += list(torch.cat(views, dim=1).unbind(dim=1))
        own += [torch.zeros_like(own[0])] * (width - len(own))
        told.append(torch.stack(own, dim=2))
    had = torch.gather(in_history(items, facts.shape[0] - 1), 1, candidates)
    plain = facts[:, :N_FACTS]
    shared = [plain[candidates], had[:, :, None]]
    if facts.shape[1] > N_FACTS:
        shared.append(price_fit(facts[:, N_FACTS], recent, candidates)[:, :, None])
    return Evidence(torch.stack(told, dim=1), torch.cat(shared, dim=2), _user(plain, items, age_days, z))


def price_fit(log_prices: Tensor, recent: Tensor, candidates: Tensor) -> Tensor:
    """How much dearer a candidate is than the user's recent items, in log units; 0 where either price is unknown.

    log_prices: float32 (I + 1,), 0 = unknown; recent: int64 (B, R), candidates: int64 (B, C); float32 (B, C)
    """
    paid, asked = log_prices[recent], log_prices[candidates]
    n_known = (paid > 0).sum(dim=1, keepdim=True)
    usual = paid.sum(dim=1, keepdim=True) / torch.clamp(n_known, min=1)
    return torch.where((asked > 0) & (n_known > 0), asked - usual, 0.0)


def standard(scores: Tensor, real: Tensor) -> Tensor:
    """Scores (B, P, C) with mean 0 and spread 1 over the real candidates of each row, 0 at the others."""
    weight = real.float()[:, None, :]
    n_real = torch.clamp(weight.sum(dim=2, keepdim=True), min=1.0)
    centred = (scores - (scores * weight).sum(dim=2, keepdim=True) / n_real) * weight
    spread = torch.sqrt(centred.square().sum(dim=2, keepdim=True) / n_real)
    standardised: Tensor = centred / torch.clamp(spread, min=1e-6)
    return standardised


def _user(facts: Tensor, items: Tensor, age_days: Tensor, z: Tensor) -> Tensor:
    """The situation; one or two, and up to five items; facts of the history and of its newest item; how sure each part
    is: how far its first candidate stands out, and how far above its tenth."""
    real = (items > 0).float()
    length = real.sum(dim=1, keepdim=True)
    mean = (facts[items] * real[:, :, None]).sum(dim=1) / torch.clamp(length, min=1.0)
    best = torch.topk(z, min(10, z.shape[2]), dim=2).values  # (B, P, 10)
    few = torch.cat([(length <= 2).float(), (length <= 5).float()], dim=1)
    sure = torch.cat([best[:, :, 0], best[:, :, 0] - best[:, :, -1]], dim=1)
    return torch.cat([situation(items, age_days), few, mean, facts[items[:, -1]], sure], dim=1)
