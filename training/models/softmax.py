"""Log-sum-exp over a catalogue-sized output without keeping more than one (R, I) array, or over a sample of it.

The plain composition of linear, logsumexp and their gradients allocates five such arrays a step; on two cores the
allocation costs more than the arithmetic.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, nn

_CONTRASTED: Final = 512  # rows of a step that are told apart


class _CatalogueLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        logits = torch.addmm(bias, query, table.T)  # (R, I)
        highest = logits.amax(dim=1, keepdim=True)
        total = logits.sub_(highest).exp_().sum(dim=1, keepdim=True)
        ctx.save_for_backward(query, table, logits.div_(total))
        return (total.log_() + highest).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, table, shares = ctx.saved_tensors
        weighted = shares.mul_(gradients[0][:, None])  # in place: a loss is differentiated once
        return weighted @ table, weighted.T @ query, weighted.sum(dim=0)


def catalogue_logsumexp(query: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    """log Σ_i exp(query · table_i + bias_i), float32 (R,); differentiable once.

    query: (R, D); table: (I, D); bias: (I,)
    """
    with torch.autocast(query.device.type, enabled=False):  # half precision would lose the rare items in the sum
        result: Tensor = _CatalogueLogSumExp.apply(query.float(), table, bias)  # type: ignore[no-untyped-call]
    return result


def sampled_logsumexp(
    query: Tensor, table: Tensor, bias: Tensor, targets: Tensor, shares: Tensor, n_negatives: int
) -> Tensor:
    """The same over a sample: the targets of all rows and some items drawn evenly, each weighted by how likely it was
    to be in the sample, float32 (R,).

    targets: int64 (R, T), items 1..I, 0 = none; shares: (I,), how often an item is a target
    source: Jean et al. 2015, arXiv:1412.2007, with the probability of inclusion for that of a draw
    """
    n_items = len(table)
    drawn = torch.randint(0, n_items, (n_negatives,), device=table.device)
    sample = torch.unique(torch.cat([targets[targets > 0] - 1, drawn]))
    n_targets = float((targets > 0).sum())
    missed = torch.exp(n_targets * torch.log1p(-shares[sample]) + n_negatives * math.log1p(-1.0 / max(n_items, 2)))
    with torch.autocast(query.device.type, enabled=False):  # as above
        logits = query.float() @ nn.functional.embedding(sample, table).T + bias[sample] - torch.log(1.0 - missed)
        return torch.logsumexp(logits, dim=1)


def apart(one: Tensor, other: Tensor, temperature: float = 0.1) -> Tensor:
    """How badly two looks (R, D) at the same rows are told from looks at other rows: InfoNCE over cosines.

    source: van den Oord et al. 2018, arXiv:1807.03748, eq. 4
    """
    rows = torch.randperm(len(one), device=one.device)[:_CONTRASTED]
    unit_one, unit_other = (nn.functional.normalize(look[rows], dim=1) for look in (one, other))
    return nn.functional.cross_entropy(
        unit_one @ unit_other.T / temperature, torch.arange(len(rows), device=one.device)
    )
