"""What is known of items whoever asks: how popular, how new, and where in a history they stand."""

from __future__ import annotations

from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fusionrec.feature_spec import DAY_MS
from training.interactions import IntArray, Interactions

N_FACTS: Final = 4


class ItemFacts(nn.Module):
    """table: float32 (n_items + 1, N_FACTS), zero for padding and for items that nobody had; one column more, the
    items' `log_prices`, where the data tell prices.

    log(1 + interactions) · log(share of its interactions that were a user's newest, smoothed) · mean place in the
    histories, near 0 = oldest, 1 = newest · log(1 + days since its first interaction), 0 where times are made up
    """

    table: Tensor

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(n_items + 1, N_FACTS))

    def fit(self, data: Interactions, now_ms: int) -> Self:
        size = data.n_items + 1
        lengths = np.diff(data.offsets)
        last = data.offsets[1:][lengths > 0] - 1
        place = (np.arange(len(data)) - data.offsets[data.users] + 1) / np.maximum(lengths[data.users], 1)
        count = np.bincount(data.items, minlength=size)
        newest = np.bincount(data.items[last], minlength=size)
        known = count > 0
        first = np.full(size, now_ms, np.int64)
        np.minimum.at(first, data.items, data.sent_at)
        age = np.log1p(np.maximum(now_ms - first, 0) / DAY_MS) if data.has_times else np.zeros(size)
        columns = [
            np.log1p(count),
            np.log1p(newest) - np.log1p(count),
            np.bincount(data.items, place, minlength=size) / np.maximum(count, 1),
            age,
        ]
        if data.prices is not None:
            columns.append(log_prices(data.items, data.prices, size))
        self.table = torch.from_numpy(np.stack(columns, axis=1) * known[:, None]).float()
        return self


def log_prices(items: IntArray, prices: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float64]:
    """An item's mean log(1 + cents) over its interactions with a known price, float64 (size,); 0 = none is known."""
    told = prices > 0
    n_told = np.bincount(items[told], minlength=size)
    return np.bincount(items[told], np.log1p(prices[told]), size) / np.maximum(n_told, 1)
