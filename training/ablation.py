"""What each part is worth to the fusion: the second stage learnt again without what this part tells.

Candidates and first stage stay those of all parts, so the table says what a part's evidence adds where candidates are
compared, not what its own candidates add. Each validation request is held out once from the second stage, since half of
them learn for the other half: the intervals are half as wide as on a fifth. The first stage learns from all of them,
the same in every row. The test window is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from training.devices import CPU, Device
from training.evaluate import Seen
from training.fusing import STEP_BACK, drawn, evidence, fit_first, fusion_key, labelled
from training.fusion.candidates import EvidenceTable
from training.fusion.stacker_fit import StackerFitConfig, held_out
from training.interactions import Interactions
from training.models.protocol import Progress, Run, silent
from training.protocols import Split
from training.recipe import Recipe
from training.stages import Cost, Stages, code_hash, key_of

MOST_JUDGED = 12_000  # drawn at random where there are more


@dataclass(frozen=True, slots=True)
class Worth:
    """NDCG@10 on held-out users without the part (or several: their names with commas), what that loses against all
    parts, and the loss's 95 % interval."""

    part: str
    without: float
    loss: float
    low: float
    high: float

    def as_json(self) -> dict[str, Any]:
        return {"without": self.without, "loss": self.loss, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Ablation:
    """parts: one row a part; together: without all those at once that nobody missed alone, since two of them may stand
    in for each other (chosen and judged on the same requests, so if anything it looks too good); shipped: those that
    are on in the usual recipe; costs: of fitting each part once."""

    ndcg: float
    n_held_out: int
    parts: Sequence[Worth]
    together: Worth | None
    shipped: Sequence[str]
    seen: Seen
    costs: Mapping[str, Cost]

    def as_json(self) -> dict[str, Any]:
        return {
            "ndcg@10": self.ndcg,
            "n_held_out": self.n_held_out,
            "seen": self.seen,
            "shipped": list(self.shipped),
            "parts": {worth.part: worth.as_json() for worth in self.parts},
            "together": self.together and {"parts": self.together.part, **self.together.as_json()},
        }


def ablate(stages: Stages, data: Interactions, cut: Split, seen: Seen, data_key: str) -> Ablation:
    """Fit every kind of part, one first stage over all, and the second stage with and without each part."""
    usual, mask = Recipe.for_split(cut), seen == "mask"
    recipe = usual.with_everything(cut)
    parts, past = labelled(stages, recipe, data, cut, data_key)
    past = replace(past, requests=drawn(past.requests, MOST_JUDGED))
    key = key_of("ablation", fusion_key(recipe, data_key, mask), code_hash(["training.ablation"]))
    first = stages.once("first stage of all parts", key, lambda run: fit_first(recipe, data, parts, past, mask, run))
    names = [part.name for part in parts]

    def work(run: Run) -> tuple[float, int, list[Worth], Worth | None]:
        table = evidence(recipe, data, first, parts, past, mask, run.portion(0.0, 0.2))
        return worth_of_parts(table, names, by_halves(recipe), run.portion(0.2, 1.0).progress, run.device)

    ndcg, n_held_out, worth, together = stages.once("leaving out one part each", key, work)
    where = "" if recipe.labels == "validation" else STEP_BACK
    costs = {name: stages.costs[f"{name}{where}"] for name in names}
    return Ablation(ndcg, n_held_out, worth, together, [part.name for part in usual.parts(1)], seen, costs)


def by_halves(recipe: Recipe) -> StackerFitConfig:
    """One round with the steps of three, since each is looked at on all requests and only the last counts."""
    usual = recipe.stacker or StackerFitConfig()
    longer = replace(usual, n_rounds=1, n_steps=3 * usual.n_steps, n_passes=3 * usual.n_passes)
    return replace(longer, n_folds=2, n_turns=2, n_held_out=MOST_JUDGED)


def worth_of_parts(
    table: EvidenceTable,
    names: Sequence[str],
    config: StackerFitConfig,
    progress: Progress = silent,
    device: Device = CPU,
) -> tuple[float, int, list[Worth], Worth | None]:
    """NDCG@10 with all parts, on how many requests, each part's worth, and that of those together without which nothing
    was lost, if there are several and others are left. names: in the order of the table."""
    whole = held_out(table, config, device=device)

    def without(places: Sequence[int]) -> Worth:
        less = held_out(without_parts(table, places), config, device=device)
        return worth_of(", ".join(names[place] for place in places), whole, less)

    found = []
    for place in range(len(names)):
        progress((place + 1) / (len(names) + 2))
        found.append(without([place]))
    idle = [place for place, worth in enumerate(found) if worth.loss <= 0]
    progress((len(names) + 1) / (len(names) + 2))
    together = without(idle) if 1 < len(idle) < len(names) else None
    return float(whole[-1].mean()), whole.shape[1], found, together


def worth_of(name: str, whole: Tensor, less: Tensor) -> Worth:
    """whole, less: NDCG@10 of the same held-out requests after each round, (N, R); the last counts."""
    without = less[-1]
    loss = whole[-1] - without
    mean, error = float(loss.mean()), 1.96 * float(loss.std(correction=min(1, len(loss) - 1))) / len(loss) ** 0.5
    return Worth(name, float(without.mean()), mean, mean - error, mean + error)


def without_parts(table: EvidenceTable, places: Sequence[int]) -> EvidenceTable:
    """The table as if these parts had said nothing: their evidence goes, and how sure they were (last of `user`)."""
    n_parts = table.told.shape[1]
    kept = [part for part in range(n_parts) if part not in places]
    n_before = table.user.shape[1] - 2 * n_parts
    columns = [*range(n_before), *(n_before + part for part in kept), *(n_before + n_parts + part for part in kept)]
    return table._replace(told=table.told[:, kept], user=table.user[:, columns])
