"""Training moments for models of single next events: a history as at a request, what came next, and other items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusionrec.feature_spec import DAY_MS
from training.interactions import Feedback, Interactions

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MomentsConfig:
    batch_size: int = 512
    max_history: int = 50
    max_moments: int = 150_000  # of an epoch; more are drawn from at random
    n_targets: int = 1  # how many of the following events are drawn from, one a moment
    n_negatives: int = 1024  # of a batch, shared by its moments
    popularity_power: float = 0.75  # negatives are drawn by an item's count to this power
    seed: int = 0


class MomentBatch(NamedTuple):
    """items, events int64 and age_days float32 (B, L), padded on the left; targets, target_events int64 (B,);
    negatives int64 (K,).

    With feedback: worth float32 (B,), NaN where the event type alone tells; refused int64 (B,), an item that was on
    display before the target and was not touched, 0 = none, and refused_weights float32 (B,).
    """

    items: Tensor
    events: Tensor
    age_days: Tensor
    targets: Tensor
    target_events: Tensor
    negatives: Tensor
    worth: Tensor | None = None
    refused: Tensor | None = None
    refused_weights: Tensor | None = None


def share(batch: MomentBatch, rank: int, n_processes: int) -> tuple[MomentBatch, float]:
    """Every n-th moment of a batch with all its negatives, and which share of the moments that is."""
    own = slice(rank, None, n_processes)
    cut = {name: array[own] for name, array in batch._asdict().items() if name != "negatives" and array is not None}
    mine = batch._replace(**cut)
    return mine, len(mine.targets) / max(len(batch.targets), 1)


class Moments:
    """Every event with a history is a moment. A target may be any of the `n_targets` events that follow."""

    def __init__(self, data: Interactions, config: MomentsConfig) -> None:
        self.data, self.config = data, config
        lengths = np.diff(data.offsets)
        self.starts, self.ends = (np.repeat(offsets, lengths) for offsets in (data.offsets[:-1], data.offsets[1:]))
        self.moments = np.flatnonzero(np.arange(len(data)) > self.starts)
        counts = np.bincount(data.items, minlength=data.n_items + 1).astype(float)
        drawn = counts**config.popularity_power * (counts > 0)
        self.probabilities = drawn / max(drawn.sum(), 1e-9)  # (n_items + 1,), of being drawn as a negative
        self.cumulative = np.cumsum(self.probabilities)

    @property
    def n_batches(self) -> int:
        """Of an epoch."""
        return -(-min(len(self.moments), self.config.max_moments) // self.config.batch_size)

    def batches(self, epoch: int) -> Iterator[MomentBatch]:
        rng = np.random.default_rng((self.config.seed, epoch))
        moments = rng.permutation(self.moments)[: self.config.max_moments]
        lengths = np.minimum(moments - self.starts[moments], self.config.max_history)
        moments = moments[np.argsort(lengths + 2.0 * rng.random(len(moments)), kind="stable")]  # alike share a batch
        size = self.config.batch_size
        for batch in rng.permutation(-(-len(moments) // size)):
            yield self._batch(moments[batch * size : (batch + 1) * size], rng)

    def _batch(self, moments: IntArray, rng: np.random.Generator) -> MomentBatch:
        data, config = self.data, self.config
        width = min(config.max_history, int((moments - self.starts[moments]).max()))
        places = moments[:, None] + np.arange(-width, 0)  # (B, L)
        real = places >= self.starts[moments][:, None]
        at = np.where(real, places, 0)
        ahead = np.minimum(config.n_targets, self.ends[moments] - moments)
        targets = moments + (rng.random(len(moments)) * ahead).astype(np.int64)
        gap = (data.sent_at[moments] - data.sent_at[moments - 1]) * rng.random(len(moments))  # asked between the two
        now = data.sent_at[moments - 1] + gap
        age = np.maximum(now[:, None] - data.sent_at[at], 0.0) / DAY_MS * real
        negatives = np.searchsorted(self.cumulative, rng.random(config.n_negatives), side="right")
        batch = MomentBatch(
            torch.from_numpy(data.items[at] * real),
            torch.from_numpy(data.events[at] * real),
            torch.from_numpy(age.astype(np.float32)),
            torch.from_numpy(data.items[targets]),
            torch.from_numpy(data.events[targets]),
            torch.from_numpy(np.minimum(negatives, data.n_items)),
        )
        return batch if data.feedback is None else self._with_feedback(batch, data.feedback, moments, targets, rng)

    def _with_feedback(
        self, batch: MomentBatch, feedback: Feedback, moments: IntArray, targets: IntArray, rng: np.random.Generator
    ) -> MomentBatch:
        """One of the items that were refused before a moment is drawn, its weight times how many there were."""
        first = np.searchsorted(feedback.refused, moments)
        n_refused = np.searchsorted(feedback.refused, moments, side="right") - first
        chosen = first + (rng.random(len(moments)) * n_refused).astype(np.int64)
        some = n_refused > 0
        refused, weights = np.zeros(len(moments), np.int64), np.zeros(len(moments), np.float32)
        refused[some] = feedback.items[chosen[some]]
        weights[some] = feedback.weights[chosen[some]] * n_refused[some]
        return batch._replace(
            worth=torch.from_numpy(feedback.worth[targets]),
            refused=torch.from_numpy(refused),
            refused_weights=torch.from_numpy(weights),
        )
