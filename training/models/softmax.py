"""Log-sum-exp over a catalogue-sized output without keeping more than one (R, I) array.

The plain composition of linear, logsumexp and their gradients allocates five such arrays a step; on two cores the
allocation costs more than the arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
