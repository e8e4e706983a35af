"""What to keep in mind of a model that was judged, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from training.publish import GATE_METRIC as METRIC

if TYPE_CHECKING:
    from training.evaluate import Evaluation


def caution_if_below_best(console: Console, evaluation: Evaluation, name: str) -> None:
    """When a part alone ranked better than the fusion of all. name: of the data set, for the remedy."""
    gain, best = evaluation.paired[METRIC], evaluation.best_part
    if gain["difference"] >= 0.0:
        return
    fusion, part = (evaluation.rows[model][METRIC][0] for model in ("fusion", best))
    chance = " (which may be chance)" if gain["high"] >= 0.0 else ""
    told = (
        f"the fusion's {METRIC} {fusion:.4f} is below the {part:.4f} of its best part, {best}: "
        f"{gain['difference']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}){chance}; train on more data, or see "
        f"with `fusionrec ablate --data {name}` what each part is worth"
    )
    console.print(f"caution: {told}", style="yellow", soft_wrap=True, highlight=False)
