"""When to stop learning: some users' last events are held out of what is learnt, and ranked after each epoch.

    value = mean over the held-out events of 1 / log2(1 + rank)      NDCG without a cut-off, over the whole catalogue

A cut-off at ten would look at few of the thousand events and stop by chance; the whole ranking is smoother.

source: Prechelt 1998, "Early Stopping - But When?", Neural Networks: Tricks of the Trade
limits: what is held out is not learnt, one event of at most `_MOST` users; worth it where the number of epochs that a
        data set needs is not known
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from training.interactions import Interactions, Requests
from training.loop import LoopConfig
from training.models.protocol import Part

_MOST: Final = 1_000  # users
_SHARE: Final = 0.1  # of those with a history that is long enough, at most
_SHORTEST: Final = 3  # events of a user of whom one may be held out
_BATCH: Final = 64


def stopping(part: Part, data: Interactions, config: LoopConfig) -> tuple[Interactions, Callable[[], float] | None]:
    """What is to be learnt from, and what tells how good the part is. Without patience: everything, and None."""
    if not config.patience:
        return data, None
    users = np.flatnonzero(np.diff(data.offsets) >= _SHORTEST)
    n_held = min(_MOST, int(_SHARE * len(users)))
    if not n_held:
        return data, None
    held = np.sort(np.random.default_rng((config.seed, 2)).permutation(users)[:n_held])
    last = data.offsets[held + 1] - 1
    ends = data.offsets[1:].copy()
    ends[held] = last
    asked = Requests(held, last, last + 1, data.sent_at[last])
    return data.prefix(ends), lambda: mean_gain(part, data, asked)


def mean_gain(part: Part, data: Interactions, asked: Requests) -> float:
    """Mean of 1 / log2(1 + rank) of the items that came next; of equal scores, the other items stand before it."""
    gains = []
    for first in range(0, len(asked.users), _BATCH):
        rows = np.arange(first, min(first + _BATCH, len(asked.users)))
        scores = torch.from_numpy(part.score(asked.inputs(data, rows)))[:, 1:]
        wanted = torch.from_numpy(data.items[asked.ends[rows]])[:, None] - 1
        rank = (scores >= scores.gather(1, wanted)).sum(dim=1)  # itself included
        gains.append(1.0 / torch.log2(1.0 + rank))
    return float(torch.cat(gains).mean())
