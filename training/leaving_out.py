"""What parts are worth from end to end: as sources of candidates, in the first stage and in the second.

`ablation.py` takes away what a part tells the second stage; here the parts are not there at all. Each validation
request is held out once from the second stage, as there; the first learns from all of them. The test window is not
looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from fusionrec.errors import BadInputError
from training.ablation import MOST_JUDGED, Worth, by_halves, worth_of
from training.evaluate import Seen
from training.fusing import drawn, evidence, fit_first, fusion_key, labelled
from training.fusion.stacker_fit import held_out
from training.interactions import Interactions
from training.models.protocol import Part, Run
from training.protocols import Split
from training.recipe import Recipe
from training.stages import Stages, code_hash, key_of


def leave_out(
    stages: Stages, data: Interactions, cut: Split, seen: Seen, data_key: str, names: Sequence[str]
) -> tuple[float, int, Worth]:
    """NDCG@10 of the fusion of the usual parts and these, on how many requests, and what it loses without these.

    raises: BadInputError for a part that there is not, or when none would be left
    """
    usual, mask = Recipe.for_split(cut), seen == "mask"
    every = usual.with_everything(cut)
    known = [part.name for part in every.parts(1)]
    if unknown := sorted(set(names) - set(known)):
        raise BadInputError(f"no part {', '.join(unknown)}; there are {', '.join(known)}", pointer="--without")
    recipe = replace(usual, **{name: getattr(every, name) for name in names})
    if all(part.name in names for part in recipe.parts(1)):
        raise BadInputError("nothing is left; keep a part", pointer="--without")
    parts, past = labelled(stages, recipe, data, cut, data_key)
    past = replace(past, requests=drawn(past.requests, MOST_JUDGED))
    kept = [part for part in parts if part.name not in names]

    def judged(chosen: Sequence[Part]) -> Tensor:
        told = [part.name for part in chosen]
        code = code_hash(["training.leaving_out", "training.ablation"])
        key = key_of("from end to end", told, fusion_key(recipe, data_key, mask), code)

        def work(run: Run) -> Tensor:
            first = fit_first(recipe, data, chosen, past, mask, run.portion(0.0, 0.3))
            table = evidence(recipe, data, first, chosen, past, mask, run.portion(0.3, 0.6))
            return held_out(table, by_halves(recipe), run.portion(0.6, 1.0).progress, run.device)

        return stages.once(f"fusion of {len(told)} parts, held out", key, work)

    whole, less = judged(parts), judged(kept)
    return float(whole[-1].mean()), whole.shape[1], worth_of(", ".join(names), whole, less)
