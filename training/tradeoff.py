"""What variety costs: the fusion's slates spread by the re-ranker that serves, at several weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from fusionrec.reranking.diversity import spread
from training import metrics
from training.background import Background
from training.beyond_accuracy import CUT, intra_list_diversity
from training.evaluate import FUSION, Interval, Seen, all_scores, first_items
from training.fusion.candidates import BATCH
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests
from training.leaning import allowed_items
from training.models.protocol import Progress, silent

WEIGHTS: Final = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8)
N_REQUESTS: Final = 2_000  # drawn at random where there are more


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracy and diversity of the slates at one weight of the re-ranker; each (mean, low, high) over users."""

    weight: float
    ndcg: Interval
    diversity: Interval


def trade_off(
    ranker: FusedRanker,
    data: Interactions,
    requests: Requests,
    background: Background,
    *,
    seen: Seen = "keep",
    seed: int = 0,
    progress: Progress = silent,
) -> list[Point]:
    """NDCG@10 and diversity@10 of the first ten at each weight; weight 0 is the fusion's own order.

    The re-ranker sees what it sees in serving: the first `top_k` items with their scores and kinds. Where the catalogue
    has neither categories nor attributes, every weight gives the same slate.
    """
    n_requests = len(requests.users)
    chosen = np.sort(np.random.default_rng(seed).choice(n_requests, min(N_REQUESTS, n_requests), replace=False))
    sample = requests.take(chosen)
    slates: dict[float, list[npt.NDArray[np.int64]]] = {weight: [] for weight in WEIGHTS}
    for items, scores in _shortlists(ranker, data, sample, seen, seed, progress):
        for weight in WEIGHTS:
            slates[weight].append(_padded(items[spread(scores, background.kinds[items], weight, CUT)]))
    resamples = metrics.resample_weights(len(sample.users), seed=seed)
    relevant = [sample.relevant(data, row) for row in range(len(sample.users))]
    n_relevant = np.array([len(items) for items in relevant], np.int64)
    points = []
    for weight, rows in slates.items():
        hits = np.stack([np.isin(slate, items) for slate, items in zip(rows, relevant, strict=True)])
        diversity = intra_list_diversity(np.stack(rows), background.vectors)
        accuracy = metrics.ndcg(hits, n_relevant, CUT)
        points.append(Point(weight, metrics.interval(accuracy, resamples), metrics.interval(diversity, resamples)))
    return points


def _shortlists(
    ranker: FusedRanker, data: Interactions, requests: Requests, seen: Seen, seed: int, progress: Progress
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """For each request the items that the graph returns, best first, and their scores."""
    generator = torch.Generator().manual_seed(seed)
    lists = []
    for first in range(0, len(requests.users), BATCH):
        rows = np.arange(first, min(first + BATCH, len(requests.users)))
        arrays = tuple(torch.from_numpy(array) for array in requests.inputs(data, rows))
        allowed = allowed_items(arrays[0], data.n_items, mask_seen=seen == "mask")
        shown = all_scores(ranker, arrays, allowed)[FUSION].masked_fill(~allowed, -torch.inf)
        items = first_items(shown, ranker.top_k, generator)
        values = torch.gather(shown, 1, items)
        lists += [(row[row > 0].numpy(), value[row > 0].numpy()) for row, value in zip(items, values, strict=True)]
        progress((first + len(rows)) / len(requests.users))
    return lists


def _padded(items: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.pad(items, (0, CUT - len(items)))
