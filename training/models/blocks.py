"""The layers of the sequence models: causal self-attention, with or without a low-pass filter beside it.

source: Vaswani et al. 2017, arXiv:1706.03762; the filter after BSARec, Shin et al. 2024, arXiv:2312.10325. There it is
        a Fourier transform over the padded window, which sees the future of a position; here a causal running mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

N_GAPS: Final = 20  # log2 buckets of minutes: up to a year


@dataclass(frozen=True, slots=True)
class BlockConfig:
    dim: int = 64
    n_heads: int = 2
    dropout: float = 0.2
    low_pass: float = 0.0  # share of the filter in each block's output; the rest is attention's


class Block(nn.Module):
    """Pre-norm self-attention, a low-pass filter if wanted, and a two-layer network."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        dim = config.dim
        self.n_heads, self.low_pass = config.n_heads, config.low_pass
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(config.dropout)
        if self.low_pass:
            self.filter_norm = nn.LayerNorm(dim)
            self.high = nn.Parameter(torch.full((dim,), 0.5))  # its square: how much of the high frequencies stays

    def forward(self, x: Tensor, bias: Tensor, real: Tensor) -> Tensor:
        """x: (B, W, D); bias: (B, heads, W, W), added to the strengths; real: bool (B, W), False at padding."""
        batch, width, dim = x.shape
        inputs = self.norm(x)
        heads = self.qkv(inputs).reshape(batch, width, 3, self.n_heads, dim // self.n_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, heads, W, D / heads)
        strength = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[3]) + bias, dim=3)
        mixed = self.out((self.dropout(strength) @ v).transpose(1, 2).reshape(batch, width, dim))
        if self.low_pass:
            mixed = self.low_pass * self.filtered(inputs, real) + (1.0 - self.low_pass) * mixed
        x = x + self.dropout(mixed)
        changed: Tensor = x + self.dropout(self.mlp(x))
        return changed

    def filtered(self, inputs: Tensor, real: Tensor) -> Tensor:
        """low + high² · (inputs - low), with low the mean of the history so far."""
        weight = real.float()[:, :, None]
        low = torch.cumsum(inputs * weight, dim=1) / torch.clamp(torch.cumsum(weight, dim=1), min=1.0)
        kept: Tensor = self.filter_norm(low + self.high.square() * (inputs - low))
        return kept


def bias_of(visible: Tensor) -> Tensor:
    """0 where a key may be seen, and what makes its weight vanish elsewhere."""
    return torch.where(visible, 0.0, -1e9)


def gap_bucket(days: Tensor) -> Tensor:
    """int64 in 0..N_GAPS - 1: the logarithm of a time, from minutes to years."""
    return torch.clamp(torch.log2(days * 1440.0 + 1.0), max=N_GAPS - 1.0).long()
