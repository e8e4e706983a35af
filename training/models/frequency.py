"""Attention with a low-pass filter in each layer: slow tastes pass beside the latest turn.

As `attention.py`, with a share of each layer's output from a causal running mean of the history plus a learnt share of
what differs from it (`blocks.py`).

source: BSARec, Shin et al. 2024, arXiv:2312.10325, with a filter that does not see a position's future
limits: those of the attention part; costs as much
"""

from __future__ import annotations

from typing import ClassVar

from training.models.attention import Attention


class FrequencyAttention(Attention):
    """Its configuration says how much the filter counts: `low_pass` > 0."""

    name: ClassVar[str] = "frequency"
