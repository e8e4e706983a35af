"""Training windows for sequence models: cuts of histories, positions to learn from, and what came after them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusionrec.feature_spec import DAY_MS
from training.interactions import Interactions

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WindowsConfig:
    batch_size: int = 64  # windows in a step
    n_positions: int = 8  # positions of a window that are learnt from in a step
    max_windows: int = 100_000  # of an epoch; more are drawn from at random
    n_targets: int = 1  # how many of the events after a position count as its targets
    seed: int = 0


class WindowBatch(NamedTuple):
    """items, events int64 and age_days float32 (B, W) are padded on the left to the longest of them.

    rows, positions int64 (R,) address states; since_days float32 (R,) is the time from that event to the request;
    targets int64 (R, T) are item rows of the model, 0 = none.
    """

    items: Tensor
    events: Tensor
    age_days: Tensor
    rows: Tensor
    positions: Tensor
    since_days: Tensor
    targets: Tensor


def share(batch: WindowBatch, rank: int, n_processes: int) -> tuple[WindowBatch, float]:
    """Every n-th window of a batch, and which share of the batch's positions it holds."""
    own = batch.rows % n_processes == rank  # (R,)
    windows = slice(rank, None, n_processes)
    mine = WindowBatch(
        items=batch.items[windows],
        events=batch.events[windows],
        age_days=batch.age_days[windows],
        rows=batch.rows[own] // n_processes,
        positions=batch.positions[own],
        since_days=batch.since_days[own],
        targets=batch.targets[own],
    )
    return mine, len(mine.rows) / max(len(batch.rows), 1)


class Windows:
    """Cuts every user's history into windows at a random offset that differs between epochs."""

    def __init__(self, data: Interactions, row_of: IntArray, width: int, config: WindowsConfig) -> None:
        """row_of: int64 (n_items + 1,), the model's row of each item, 0 = an item that it does not learn."""
        self.data, self.width, self.config = data, width, config
        self.known = row_of[data.items] * data.chosen  # what can be learnt from as what came next
        self.user_ends = np.repeat(data.offsets[1:], np.diff(data.offsets))  # (N,)
        self.user_starts = np.repeat(data.offsets[:-1], np.diff(data.offsets))
        self.days = (data.sent_at - data.sent_at.min(initial=0)) / DAY_MS if len(data) else np.zeros(0)
        self.users = np.flatnonzero(np.diff(data.offsets) >= 2)

    @property
    def n_batches(self) -> int:
        """Of an epoch; the number of windows does not depend on the random offsets."""
        n_windows = int(np.ceil((np.diff(self.data.offsets)[self.users] - 1) / self.width).sum())
        return -(-min(n_windows, self.config.max_windows) // self.config.batch_size)

    def batches(self, epoch: int) -> Iterator[WindowBatch]:
        rng = np.random.default_rng((self.config.seed, epoch))
        ends = rng.permutation(self._window_ends(rng))[: self.config.max_windows]
        lengths = np.minimum(ends - self.user_starts[ends] + 1, self.width)
        ends = ends[np.argsort(lengths + 2.0 * rng.random(len(ends)), kind="stable")]  # alike ones share a batch
        size = self.config.batch_size
        for batch in rng.permutation(-(-len(ends) // size)):
            yield self._batch(ends[batch * size : (batch + 1) * size], rng)

    def _window_ends(self, rng: np.random.Generator) -> IntArray:
        """Offset of the last event of each window; it always has a successor."""
        ends = []
        for user in self.users:
            start, stop = self.data.offsets[user], self.data.offsets[user + 1] - 1
            n_windows = -(-(stop - start) // self.width)
            slack = int(min(n_windows * self.width, stop - start) - (n_windows - 1) * self.width)
            last = stop - 1 - (int(rng.integers(0, slack)) if n_windows > 1 else 0)
            ends.append(last - self.width * np.arange(n_windows))
        return np.concatenate(ends) if ends else np.zeros(0, np.int64)

    def _batch(self, ends: IntArray, rng: np.random.Generator) -> WindowBatch:
        width = min(self.width, int((ends - self.user_starts[ends]).max()) + 1)
        places = ends[:, None] + np.arange(1 - width, 1)  # (B, W)
        real = places >= self.user_starts[ends][:, None]
        at = np.where(real, places, 0)
        rows, positions = self._chosen(real & (self.known[np.minimum(at + 1, len(self.known) - 1)] > 0), rng)
        chosen = at[rows, positions]
        gap = self.days[chosen + 1] - self.days[chosen]
        age = (self.days[ends][:, None] - self.days[at]) * real
        return WindowBatch(
            torch.from_numpy(self.data.items[at] * real),
            torch.from_numpy(self.data.events[at] * real),
            torch.from_numpy(age.astype(np.float32)),
            torch.from_numpy(rows),
            torch.from_numpy(positions),
            torch.from_numpy((gap * rng.random(len(gap))).astype(np.float32)),
            torch.from_numpy(self._targets(chosen)),
        )

    def _chosen(self, useful: npt.NDArray[np.bool_], rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """At most n_positions useful ones of each window, the last always among the candidates."""
        draw = np.where(useful, rng.random(useful.shape), np.inf)
        picked = np.argsort(draw, axis=1)[:, : self.config.n_positions]
        keep = np.isfinite(np.take_along_axis(draw, picked, axis=1))
        rows = np.broadcast_to(np.arange(len(useful))[:, None], picked.shape)
        return rows[keep], picked[keep]

    def _targets(self, chosen: IntArray) -> IntArray:
        following = chosen[:, None] + np.arange(1, self.config.n_targets + 1)
        inside = following < self.user_ends[chosen][:, None]
        return self.known[np.where(inside, following, 0)] * inside
