"""Judges parts and fusion by full ranking over the whole catalogue, with intervals over users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training import metrics
from training.association import auc, correlation
from training.background import Background
from training.beyond_accuracy import CUT, BeyondAccuracy, gini
from training.fusion.candidates import batches, inputs_on, relevant_items
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests
from training.leaning import allowed_items, leaning_by_history
from training.models.popularity import Popularity
from training.models.protocol import Progress, silent
from training.segments import Segment, segments

Seen = Literal["keep", "mask"]
BASELINE = "most_popular"  # the same slate for everybody
FUSION = "fusion"
N_RANKS = max(metrics.CUTS)
SEGMENT_METRICS = ("hr@10", "ndcg@10")

Interval = tuple[float, float, float]  # mean, low, high
Slates = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """rows: model → metric → (mean, low, high); paired: metric → fusion minus the best part of all requests; leaning:
    part → its share in what lifts the slates' items, of cuts by history."""

    kind: str  # history or target
    name: str
    n_users: int
    rows: Mapping[str, Mapping[str, Interval]]
    paired: Mapping[str, Mapping[str, float]]
    leaning: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """rows: model → metric → (mean, low, high) over users; catalogue: model → metrics of all slates together."""

    n_users: int
    n_relevant: int
    seen: Seen
    likeness: str  # what diversity is measured by: content or co-occurrence
    rows: Mapping[str, Mapping[str, Interval]]
    catalogue: Mapping[str, Mapping[str, float]]
    best_part: str
    paired: Mapping[str, Mapping[str, float]]  # metric → fusion minus best part
    segments: Sequence[SegmentTable]

    def means(self) -> dict[str, dict[str, float]]:
        """For the manifest."""
        return {
            model: {
                **{name: round(value[0], 6) for name, value in row.items()},
                **{name: round(value, 6) for name, value in self.catalogue[model].items()},
            }
            for model, row in self.rows.items()
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "n_users": self.n_users,
            "n_relevant": self.n_relevant,
            "seen": self.seen,
            "diversity_by": self.likeness,
            "models": {
                model: {**_named(row), **{name: {"mean": value} for name, value in self.catalogue[model].items()}}
                for model, row in self.rows.items()
            },
            "best_part": self.best_part,
            "fusion_minus_best_part": {name: dict(test) for name, test in self.paired.items()},
            "segments": [
                {
                    "by": cut.kind,
                    "name": cut.name,
                    "n_users": cut.n_users,
                    "models": {model: _named(row) for model, row in cut.rows.items()},
                    "fusion_minus_best_part": {name: dict(test) for name, test in cut.paired.items()},
                    "leaning": dict(cut.leaning),
                }
                for cut in self.segments
            ],
        }


def evaluate(
    ranker: FusedRanker,
    data: Interactions,
    requests: Requests,
    *,
    seen: Seen = "keep",
    seed: int = 0,
    background: Background | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Rank the whole catalogue for every request with the baseline, each part and the fusion.

    background: of the interactions that the models were fitted on; default: all before the requests, no categories
    """
    background = background or Background.of(data.prefix(_ends(data, requests)))
    ranked = rank(ranker, data, requests, seen=seen, seed=seed, progress=progress)
    relevant = [requests.relevant(data, row) for row in range(len(requests.users))]
    beyond = BeyondAccuracy(background, data, requests)
    weights = metrics.resample_weights(len(relevant), seed=seed)
    per_user = {
        model: {**_accuracy(slates, relevant), **ranked.association[model], **beyond.per_user(slates)}
        for model, slates in ranked.slates.items()
    }
    rows = {model: _intervals(table, weights) for model, table in per_user.items()}
    best = max(ranker.part_names, key=lambda name: rows[name]["ndcg@10"][0])
    cuts = segments(data, requests, relevant, background.n_events)
    leans = leaning_by_history(ranker, data, requests, cuts, mask_seen=seen == "mask", seed=seed)
    return Evaluation(
        n_users=len(relevant),
        n_relevant=sum(len(items) for items in relevant),
        seen=seen,
        likeness=background.likeness,
        rows=rows,
        catalogue={model: _of_the_catalogue(slates, data.n_items) for model, slates in ranked.slates.items()},
        best_part=best,
        paired=_paired(per_user[FUSION], per_user[best], weights),
        segments=[_segment_table(cut, ranked.slates, best, leans.get(cut.name, {}), seed) for cut in cuts],
    )


def _paired(
    fusion: Mapping[str, metrics.FloatArray], best: Mapping[str, metrics.FloatArray], weights: metrics.FloatArray
) -> dict[str, Mapping[str, float]]:
    return {name: metrics.paired_test(fusion[name], best[name], weights) for name in metrics.NAMES}


class Ranked(NamedTuple):
    """slates: model → int64 (R, N_RANKS); association: model → auc and correlation → (R,)."""

    slates: dict[str, Slates]
    association: dict[str, dict[str, metrics.FloatArray]]


def rank(
    ranker: FusedRanker,
    data: Interactions,
    requests: Requests,
    *,
    seen: Seen,
    seed: int,
    progress: Progress = silent,
) -> Ranked:
    """The first N_RANKS items of every model, and how far its scores tell the outcome."""
    generator = torch.Generator().manual_seed(seed)
    slates: dict[str, list[Tensor]] = {}
    told: dict[str, dict[str, list[Tensor]]] = {}
    for rows in batches(requests, progress):
        arrays = inputs_on(ranker.device, data, requests, rows)
        relevant = relevant_items(data, requests, rows).to(ranker.device)
        allowed = allowed_items(arrays[0], data.n_items, mask_seen=seen == "mask")
        for model, scores in all_scores(ranker, arrays, allowed).items():
            shown = scores.masked_fill(~allowed, -torch.inf)
            slates.setdefault(model, []).append(first_items(shown, N_RANKS, generator).cpu())
            measures = told.setdefault(model, {"auc": [], "correlation": []})
            measures["auc"].append(auc(scores, allowed, relevant).cpu())
            measures["correlation"].append(correlation(scores, allowed, relevant).cpu())
    return Ranked(
        {model: torch.cat(chunks).numpy() for model, chunks in slates.items()},
        {model: {name: torch.cat(chunks).numpy() for name, chunks in each.items()} for model, each in told.items()},
    )


@torch.inference_mode()
def all_scores(ranker: FusedRanker, history: tuple[Tensor, ...], eligible: Tensor) -> dict[str, Tensor]:
    """Scores float32 (B, I + 1) of the baseline, the parts and the fusion, which chooses among the eligible."""
    items, events, age_days = history
    standardised = ranker.standardised(items, events, age_days)
    scores = {BASELINE: ranker.part(Popularity).log_popularity.expand(len(items), -1)}
    scores |= {name: standardised[:, place] for place, name in enumerate(ranker.part_names)}
    scores[FUSION] = ranker.catalogue(standardised, items, age_days, eligible)
    return scores


def first_items(scores: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """The k best items of each row, int64 (B, k), equal scores in random order: the columns are shuffled first.

    Fewer than k finite scores leave zeros at the end.
    """
    shuffled = torch.randperm(scores.shape[1], generator=generator).to(scores.device)
    best = torch.topk(scores[:, shuffled], min(k, scores.shape[1]), dim=1)
    items = shuffled[best.indices].masked_fill(torch.isneginf(best.values), 0)
    return torch.nn.functional.pad(items, (0, k - items.shape[1]))


def _accuracy(slates: Slates, relevant: Sequence[npt.NDArray[np.int64]]) -> dict[str, metrics.FloatArray]:
    hits = np.stack([np.isin(slate, items) for slate, items in zip(slates, relevant, strict=True)])
    return metrics.per_user(hits, np.array([len(items) for items in relevant], np.int64))


def _segment_table(
    cut: Segment, slates: Mapping[str, Slates], best: str, share: Mapping[str, float], seed: int
) -> SegmentTable:
    weights = metrics.resample_weights(len(cut.rows), seed=seed)
    tables = {model: _accuracy(chosen[cut.rows], cut.relevant) for model, chosen in slates.items()}
    per_user = {model: {name: table[name] for name in SEGMENT_METRICS} for model, table in tables.items()}
    return SegmentTable(
        cut.kind,
        cut.name,
        len(cut.rows),
        {model: _intervals(table, weights) for model, table in per_user.items()},
        {name: metrics.paired_test(per_user[FUSION][name], per_user[best][name], weights) for name in SEGMENT_METRICS},
        share,
    )


def _of_the_catalogue(slates: Slates, n_items: int) -> dict[str, float]:
    covered = {f"coverage@{k}": metrics.coverage(slates, n_items, k) for k in metrics.CUTS}
    return covered | {f"gini@{CUT}": gini(slates[:, :CUT], n_items)}


def _intervals(table: Mapping[str, metrics.FloatArray], weights: metrics.FloatArray) -> dict[str, Interval]:
    """Of every metric that has a value for somebody."""
    return {name: metrics.interval(values, weights) for name, values in table.items() if not np.isnan(values).all()}


def _named(row: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: dict(zip(("mean", "low", "high"), value, strict=True)) for name, value in row.items()}


def _ends(data: Interactions, requests: Requests) -> npt.NDArray[np.int64]:
    """Where each user's past ends: before its first request, or with its last interaction."""
    ends = data.offsets[1:].copy()
    np.minimum.at(ends, requests.users, requests.ends)
    return ends
