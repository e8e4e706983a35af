"""Fits parts and fusion in stages, each kept under the key of all that it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.fusion.additive import AdditiveFusion
from training.fusion.candidates import EvidenceTable, collect, tabulate
from training.fusion.facts import ItemFacts
from training.fusion.fit import fit_fusion
from training.fusion.ranker import FusedRanker, SecondStage
from training.fusion.stacker import Ensemble
from training.fusion.stacker_fit import Choice, StackerFitConfig, fit_stacker
from training.interactions import Interactions, Requests
from training.models.protocol import Part, Run
from training.protocols import Past, Split
from training.recipe import Recipe
from training.stages import Stages, code_hash, key_of

STEP_BACK = " one step back"  # ends the names of stages
MOST_REQUESTS = 25_000  # that a fusion learns from, drawn at random where there are more: 1.6 GB with ten parts
_FUSION = ("training.fusing", "training.fusion.stacker_fit", "training.fusion.fit", "training.fusion.candidates")


@dataclass(frozen=True, slots=True)
class Fused:
    """Both stages, and how the second was chosen."""

    first: AdditiveFusion
    second: Ensemble | None
    choice: Choice | None

    def ranker(self, parts: Sequence[Part], top_k: int, known: Past) -> FusedRanker:
        """With parts fitted on what was known then; the facts are taken from the same."""
        second = None
        if self.second is not None:
            second = SecondStage(self.second, ItemFacts(known.fit.n_items).fit(known.fit, known.now_ms))
        return FusedRanker(parts, self.first, top_k, second).eval()


def fit_parts(stages: Stages, parts: Sequence[Part], past: Past, data_key: str, where: str = "") -> list[Part]:
    """Each part fitted, or as it was kept. data_key: of the data and how they were cut."""

    def fit(part: Part) -> Part:
        key = key_of(data_key, part.config, code_hash([type(part).__module__]))
        return stages.once(f"{part.name}{where}", key, lambda run: part.fit(past.fit, past.now_ms, run))

    return [fit(part) for part in parts]


def fusion_key(recipe: Recipe, data_key: str, mask_seen: bool) -> str:
    """Of everything that decides what a fusion learns."""
    modules = [type(part).__module__ for part in recipe.parts(1)]
    return key_of(data_key, recipe, code_hash([*modules, *_FUSION]), mask_seen)


def fit_fused(
    stages: Stages, recipe: Recipe, data: Interactions, cut: Split, mask_seen: bool, data_key: str
) -> tuple[list[Part], Fused]:
    """The parts fitted before the validation window, and the fusion of them.

    When the test item is asked for, the newest item of the history is one that no part was fitted on. With labels
    "step-back" that is so while the fusion learns, too: the validation window is asked for by parts from one step back.
    """
    now = Past(cut.fit, cut.fit_now_ms, cut.validation)
    parts = fit_parts(stages, recipe.parts(data.n_items), now, data_key)
    learnt, past = (parts, now) if recipe.labels == "validation" else labelled(stages, recipe, data, cut, data_key)
    source = (learnt, replace(past, requests=drawn(past.requests, MOST_REQUESTS)))
    key = fusion_key(recipe, data_key, mask_seen)
    seen = "masked" if mask_seen else "kept"
    first = stages.once(f"fusion, seen items {seen}", key, lambda run: fit_first(recipe, data, *source, mask_seen, run))
    if recipe.stacker is None:
        return parts, Fused(first, None, None)
    second, choice = stages.once(
        f"second stage, seen items {seen}", key, lambda run: fit_second(recipe, data, first, *source, mask_seen, run)
    )
    return parts, Fused(first, second, choice)


def labelled(stages: Stages, recipe: Recipe, data: Interactions, cut: Split, data_key: str) -> tuple[list[Part], Past]:
    """The parts and the requests that the fusion learns from."""
    parts = recipe.parts(data.n_items)
    if recipe.labels == "validation":
        now = Past(cut.fit, cut.fit_now_ms, cut.validation)
        return fit_parts(stages, parts, now, data_key), now
    asked = cut.earlier.requests if recipe.labels == "earlier" else cut.validation
    return fit_parts(stages, parts, cut.earlier, data_key, STEP_BACK), replace(cut.earlier, requests=asked)


def drawn(requests: Requests, at_most: int) -> Requests:
    """At most so many of them, at random: their order may tell something."""
    n = len(requests.users)
    return requests if n <= at_most else requests.take(np.sort(np.random.default_rng(0).permutation(n)[:at_most]))


def fit_first(
    recipe: Recipe, data: Interactions, parts: Sequence[Part], past: Past, mask_seen: bool, run: Run
) -> AdditiveFusion:
    """The additive stage, from the union of the parts' candidates."""
    unfitted = FusedRanker(parts, AdditiveFusion(len(parts)), recipe.top_k).eval()
    with run.device.holding(unfitted):
        candidates = collect(
            unfitted, data, past.requests, recipe.fusion.n_candidates, mask_seen=mask_seen, progress=run.progress
        )
    return fit_fusion(candidates, recipe.fusion)


def fit_second(
    recipe: Recipe,
    data: Interactions,
    first: AdditiveFusion,
    parts: Sequence[Part],
    past: Past,
    mask_seen: bool,
    run: Run,
) -> tuple[Ensemble | None, Choice]:
    """The stacker, from the first stage's candidates. The recipe has a second stage."""
    table = evidence(recipe, data, first, parts, past, mask_seen, run.portion(0.0, 0.5))
    config = recipe.stacker or StackerFitConfig()
    return fit_stacker(table, config, run.portion(0.5, 1.0).progress, run.device)


def evidence(
    recipe: Recipe,
    data: Interactions,
    first: AdditiveFusion,
    parts: Sequence[Part],
    past: Past,
    mask_seen: bool,
    run: Run,
) -> EvidenceTable:
    """What these parts tell the second stage of the first one's candidates."""
    ranker = FusedRanker(parts, first, recipe.top_k).eval()
    facts = ItemFacts(data.n_items).fit(past.fit, past.now_ms)
    with run.device.holding(ranker):
        return tabulate(ranker, facts, data, past.requests, mask_seen=mask_seen, progress=run.progress)
