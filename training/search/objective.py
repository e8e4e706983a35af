"""What a search climbs: NDCG@10 of one part alone, the whole catalogue ranked, on some validation requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch

from training import metrics
from training.evaluate import first_items
from training.interactions import Interactions, Requests
from training.models.protocol import Part

METRIC: Final = "ndcg@10"
_K: Final = 10
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Judge:
    """Validation requests in two halves that share no user: trials are compared on one, the winner is checked on both.

    A winner among many is partly lucky on the users that chose it; on the others it is not.
    """

    data: Interactions
    choosing: Requests
    checking: Requests
    seen: Literal["keep", "mask"]
    seed: int

    @classmethod
    def of(
        cls, data: Interactions, validation: Requests, seen: Literal["keep", "mask"], n_users: int, seed: int
    ) -> Judge:
        """At most n_users in each half, drawn at random."""
        order = np.random.default_rng(seed).permutation(len(validation.users))
        n_users = min(n_users, len(order) // 2)
        choosing, checking = (validation.take(np.sort(order[at : at + n_users])) for at in (0, n_users))
        return cls(data, choosing, checking, seen, seed)

    def on_choosing(self, part: Part) -> metrics.FloatArray:
        """Per user, float64 (R,)."""
        return self._ndcg(part, self.choosing)

    def on_checking(self, part: Part) -> metrics.FloatArray:
        return self._ndcg(part, self.checking)

    def _ndcg(self, part: Part, requests: Requests) -> metrics.FloatArray:
        generator = torch.Generator().manual_seed(self.seed)  # of ties
        values = []
        for first in range(0, len(requests.users), _BATCH):
            rows = np.arange(first, min(first + _BATCH, len(requests.users)))
            inputs = requests.inputs(self.data, rows)
            scores = torch.from_numpy(part.score(inputs)).clone()
            if self.seen == "mask":
                scores.scatter_(1, torch.from_numpy(inputs.history_items), -torch.inf)
            scores[:, 0] = -torch.inf
            slates = first_items(scores, _K, generator).numpy()
            relevant = [requests.relevant(self.data, int(row)) for row in rows]
            hits = np.stack([np.isin(slate, items) for slate, items in zip(slates, relevant, strict=True)])
            values.append(metrics.ndcg(hits, np.array([len(items) for items in relevant]), _K))
        return np.concatenate(values) if values else np.zeros(0)
