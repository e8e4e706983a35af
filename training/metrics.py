"""Ranking metrics of one user's slate, each with a worked number, and intervals over users.

hits: bool (..., K), True where the item at that rank is relevant; n_relevant: how many items are relevant in all.
Every function works on one user or, with leading dimensions, on many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | int

CUTS: Final = (5, 10, 20)
NAMES: Final = tuple(f"{metric}@{k}" for k in CUTS for metric in ("hr", "ndcg", "mrr", "recall"))
N_RESAMPLES: Final = 1000


def hit_rate(hits: BoolArray, k: int) -> FloatArray:
    """1 when at least one of the first k is relevant.

    >>> float(hit_rate(np.array([False, False, True]), 2)), float(hit_rate(np.array([False, False, True]), 3))
    (0.0, 1.0)
    """
    return np.asarray(hits[..., :k].any(axis=-1), float)


def recall(hits: BoolArray, n_relevant: Counts, k: int) -> FloatArray:
    """The share of the relevant items that are among the first k.

    >>> float(recall(np.array([True, False, True]), 4, 3))  # 2 of 4
    0.5
    """
    return np.asarray(hits[..., :k].sum(axis=-1) / np.maximum(n_relevant, 1), float)


def reciprocal_rank(hits: BoolArray, k: int) -> FloatArray:
    """1 / rank of the first relevant item, 0 when it is not among the first k; its mean is MRR@k.

    >>> float(reciprocal_rank(np.array([False, False, False, True]), 4))
    0.25
    """
    found = hits[..., :k]
    return np.where(found.any(axis=-1), 1.0 / (found.argmax(axis=-1) + 1.0), 0.0)


def ndcg(hits: BoolArray, n_relevant: Counts, k: int) -> FloatArray:
    """Discounted gain Σ 1 / log2(rank + 1) over the hits, divided by that of an ideal ranking. Binary relevance.

    >>> round(float(ndcg(np.array([False, True, True]), 2, 3)), 4)  # (1/log2(3) + 1/log2(4)) / (1 + 1/log2(3))
    0.6934
    """
    gain = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gain)])[np.minimum(n_relevant, k)]
    seen = hits[..., :k]
    return np.asarray((seen * gain[: seen.shape[-1]]).sum(axis=-1) / np.maximum(ideal, 1e-12), float)


def coverage(slates: npt.NDArray[np.int64], n_items: int, k: int) -> float:
    """The share of the catalogue that appears in at least one slate.

    >>> coverage(np.array([[1, 2], [2, 3]]), n_items=6, k=2)
    0.5
    """
    shown = np.unique(slates[:, :k])
    return float(np.count_nonzero(shown)) / n_items


def per_user(hits: BoolArray, n_relevant: npt.NDArray[np.int64], cuts: Sequence[int] = CUTS) -> dict[str, FloatArray]:
    """All metrics for all users: name, such as `ndcg@10`, → (U,)."""
    table: dict[str, FloatArray] = {}
    for k in cuts:
        table[f"hr@{k}"] = hit_rate(hits, k)
        table[f"ndcg@{k}"] = ndcg(hits, n_relevant, k)
        table[f"mrr@{k}"] = reciprocal_rank(hits, k)
        table[f"recall@{k}"] = recall(hits, n_relevant, k)
    return table


def resample_weights(n_users: int, n_resamples: int = N_RESAMPLES, seed: int = 0) -> FloatArray:
    """Bootstrap over users: how often each user is drawn, as shares, (n_resamples, U).

    >>> resample_weights(4, n_resamples=2).sum(axis=1).tolist()
    [1.0, 1.0]
    """
    drawn = np.random.default_rng(seed).multinomial(n_users, np.full(n_users, 1.0 / n_users), size=n_resamples)
    return drawn / n_users


def interval(values: FloatArray, weights: FloatArray) -> tuple[float, float, float]:
    """Mean over users and its 95 % bootstrap interval: (mean, low, high). Users whose value is nan do not count.

    >>> interval(np.ones(5), resample_weights(5))
    (1.0, 1.0, 1.0)
    >>> interval(np.array([2.0, np.nan, 2.0]), resample_weights(3))
    (2.0, 2.0, 2.0)
    """
    known = ~np.isnan(values)
    if not known.any():
        return (float("nan"),) * 3
    if not known.all():
        totals = weights[:, known].sum(axis=1, keepdims=True)
        drawn = totals[:, 0] > 0  # at least one user with a value
        weights, values = weights[drawn][:, known] / totals[drawn], values[known]
    low, high = np.quantile(np.round(weights @ values, 12), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def paired_test(better: FloatArray, worse: FloatArray, weights: FloatArray) -> Mapping[str, float]:
    """Bootstrap of the difference on the same users: its mean, 95 % interval and two-sided p-value.

    >>> paired_test(np.array([1.0, 1.0]), np.array([0.5, 0.5]), resample_weights(2))["difference"]
    0.5
    """
    difference, low, high = interval(better - worse, weights)
    means = weights @ (better - worse)
    tail = min(float((means <= 0).mean()), float((means >= 0).mean()))
    return {"difference": difference, "low": low, "high": high, "p_value": min(1.0, 2 * tail + 1 / len(weights))}
