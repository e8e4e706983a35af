"""Judges parts and fusion by full ranking over the whole catalogue, with intervals over users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training import metrics
from training.fusion.additive import situation
from training.fusion.candidates import BATCH, barred
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests
from training.models.popularity import Popularity
from training.models.protocol import Progress, silent

Seen = Literal["keep", "mask"]
BASELINE = "most_popular"  # the same slate for everybody
FUSION = "fusion"
N_RANKS = max(metrics.CUTS)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """rows: model → metric → (mean, low, high); coverage has no interval."""

    n_users: int
    n_relevant: int
    seen: Seen
    rows: Mapping[str, Mapping[str, tuple[float, float, float]]]
    coverage: Mapping[str, Mapping[str, float]]
    best_part: str
    paired: Mapping[str, Mapping[str, float]]  # metric → fusion minus best part

    def means(self) -> dict[str, dict[str, float]]:
        """For the manifest."""
        return {
            model: {**{name: round(value[0], 6) for name, value in row.items()}, **self.coverage[model]}
            for model, row in self.rows.items()
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "n_users": self.n_users,
            "n_relevant": self.n_relevant,
            "seen": self.seen,
            "models": {
                model: {
                    **{name: dict(zip(("mean", "low", "high"), value, strict=True)) for name, value in row.items()},
                    **{name: {"mean": value} for name, value in self.coverage[model].items()},
                }
                for model, row in self.rows.items()
            },
            "best_part": self.best_part,
            "fusion_minus_best_part": {name: dict(test) for name, test in self.paired.items()},
        }


def evaluate(
    ranker: FusedRanker,
    data: Interactions,
    requests: Requests,
    *,
    seen: Seen = "keep",
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Rank the whole catalogue for every request with the baseline, each part and the fusion."""
    slates = rank(ranker, data, requests, seen=seen, seed=seed, progress=progress)
    relevant = [requests.relevant(data, row) for row in range(len(requests.users))]
    n_relevant = np.array([len(items) for items in relevant], np.int64)
    per_user = {model: metrics.per_user(_hits(slate, relevant), n_relevant) for model, slate in slates.items()}
    weights = metrics.resample_weights(len(relevant), seed=seed)
    rows = {
        model: {name: metrics.interval(values, weights) for name, values in table.items()}
        for model, table in per_user.items()
    }
    best = max(ranker.part_names, key=lambda name: rows[name]["ndcg@10"][0])
    return Evaluation(
        n_users=len(relevant),
        n_relevant=int(n_relevant.sum()),
        seen=seen,
        rows=rows,
        coverage={
            model: {f"coverage@{k}": metrics.coverage(slate, data.n_items, k) for k in metrics.CUTS}
            for model, slate in slates.items()
        },
        best_part=best,
        paired={
            name: metrics.paired_test(per_user[FUSION][name], per_user[best][name], weights)
            for name in per_user[FUSION]
        },
    )


def rank(
    ranker: FusedRanker,
    data: Interactions,
    requests: Requests,
    *,
    seen: Seen,
    seed: int,
    progress: Progress = silent,
) -> dict[str, npt.NDArray[np.int64]]:
    """The first N_RANKS items of every model, int64 (R, N_RANKS)."""
    generator = torch.Generator().manual_seed(seed)
    slates: dict[str, list[Tensor]] = {}
    for first in range(0, len(requests.users), BATCH):
        rows = np.arange(first, min(first + BATCH, len(requests.users)))
        arrays = tuple(torch.from_numpy(array) for array in requests.inputs(data, rows))
        for model, scores in all_scores(ranker, *arrays).items():
            allowed = barred(scores[:, None], arrays[0] if seen == "mask" else None)[:, 0]
            slates.setdefault(model, []).append(first_items(allowed, N_RANKS, generator))
        progress((first + len(rows)) / len(requests.users))
    return {model: torch.cat(chunks).numpy() for model, chunks in slates.items()}


@torch.inference_mode()
def all_scores(ranker: FusedRanker, items: Tensor, events: Tensor, age_days: Tensor) -> dict[str, Tensor]:
    """Scores float32 (B, I + 1) of the baseline, the parts and the fusion."""
    standardised = ranker.standardised(items, events, age_days)
    scores = {BASELINE: ranker.part(Popularity).log_popularity.expand(len(items), -1)}
    scores |= {name: standardised[:, place] for place, name in enumerate(ranker.part_names)}
    scores[FUSION] = ranker.fusion.catalogue(standardised, situation(items, age_days), items)
    return scores


def first_items(scores: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """The k best items of each row, int64 (B, k), equal scores in random order: the columns are shuffled first.

    Fewer than k finite scores leave zeros at the end.
    """
    shuffled = torch.randperm(scores.shape[1], generator=generator)
    best = torch.topk(scores[:, shuffled], min(k, scores.shape[1]), dim=1)
    items = shuffled[best.indices].masked_fill(torch.isneginf(best.values), 0)
    return torch.nn.functional.pad(items, (0, k - items.shape[1]))


def _hits(slates: npt.NDArray[np.int64], relevant: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.bool_]:
    return np.stack([np.isin(slate, items) for slate, items in zip(slates, relevant, strict=True)])
