"""Fits the additive fusion on candidates of the validation window.

The loss is the log of the share that the softmax gives to all relevant candidates together. It is content once the
first places are right, as a slate is; cross entropy against every relevant item pulls in the deep ones at the
expense of the first ten.

source: the smooth top-one of listwise ranking, Cao et al. 2007, "Learning to Rank: From Pairwise to Listwise", ICML
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.fusion.additive import N_KNOTS, AdditiveFusion
from training.fusion.candidates import Candidates


@dataclass(frozen=True, slots=True)
class FusionConfig:
    n_candidates: int = 500
    ridge: float = 1e-3  # pulls slopes and the gate's dependence on the situation towards their start
    max_iterations: int = 100


def fit_fusion(candidates: Candidates, config: FusionConfig) -> AdditiveFusion:
    """The fusion that makes the relevant candidates most likely. L-BFGS on everything at once; deterministic."""
    fusion = AdditiveFusion(candidates.scores.shape[1])
    known = candidates.relevant.any(dim=1)
    scores, relevant, where = (column[known] for column in candidates)
    if not len(scores):
        return fusion.eval()
    fusion.knots = knots(scores)
    start = fusion.slopes.detach().clone()
    optimizer = torch.optim.LBFGS(fusion.parameters(), max_iter=config.max_iterations, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        fused = fusion(scores, where).sum(dim=1)  # (R, C)
        hit = torch.logsumexp(fused.masked_fill(~relevant, -torch.inf), dim=1)
        loss = (torch.logsumexp(fused, dim=1) - hit).mean()
        loss = loss + config.ridge * ((fusion.slopes - start).square().sum() + fusion.gate.weight.square().sum())
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return fusion.eval()


def knots(scores: Tensor) -> Tensor:
    """Where the shapes bend: quantiles of the candidates' scores, denser at the top. (R, P, C) -> (P, N_KNOTS)."""
    levels = 1.0 - torch.logspace(-0.5, -2.5, N_KNOTS)
    flat = scores.transpose(0, 1).flatten(1)
    every = max(1, flat.shape[1] // 100_000)
    return torch.quantile(flat[:, ::every], levels, dim=1).T.clamp(min=0.0).contiguous()
