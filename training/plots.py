"""Pictures of an evaluation, drawn with matplotlib (the extra `plots`), which is imported when it is used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from training.evaluate import FUSION, Evaluation
from training.tradeoff import Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def can_draw() -> bool:
    """Is matplotlib installed?"""
    return find_spec("matplotlib") is not None


def trade_off_figure(evaluation: Evaluation, points: Sequence[Point], title: str) -> Figure:
    """NDCG@10 against diversity@10: every model as a point, the fusion under the re-ranker as a line."""
    from matplotlib.figure import Figure  # noqa: PLC0415  optional, and half a second

    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel=f"diversity@10 (by {evaluation.likeness})", ylabel="NDCG@10", title=title)
    for place, models in _places(evaluation).items():
        fused = FUSION in models
        axes.plot(*place, "o" if fused else "s", markersize=6, color="C3" if fused else "0.55")
        axes.annotate(", ".join(models), place, xytext=(6, 4), textcoords="offset points", fontsize=8)
    across, up = [point.diversity[0] for point in points], [point.ndcg[0] for point in points]
    low = [max(point.ndcg[0] - point.ndcg[1], 0.0) for point in points]  # where all users are alike, rounding decides
    high = [max(point.ndcg[2] - point.ndcg[0], 0.0) for point in points]
    axes.errorbar(across, up, yerr=(low, high), color="C0", marker=".", capsize=2, label="fusion, re-ranked")
    for point in points:
        if point.weight:
            place = point.diversity[0], point.ndcg[0]
            axes.annotate(f"{point.weight:g}", place, xytext=(4, -11), textcoords="offset points", fontsize=7)
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left", fontsize=8)
    return figure


def _places(evaluation: Evaluation) -> dict[tuple[float, float], list[str]]:
    """(diversity, accuracy) → the models that are there; those at one place share its label."""
    places: dict[tuple[float, float], list[str]] = {}
    for model, row in evaluation.rows.items():
        place = round(row["diversity@10"][0], 4), round(row["ndcg@10"][0], 4)
        places.setdefault(place, []).append(model.replace("_", " "))
    return places


def write_svg(figure: Figure, path: Path) -> None:
    """By rename, and without a date: the same numbers give the same file."""
    import matplotlib  # noqa: PLC0415  as above

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with matplotlib.rc_context({"svg.hashsalt": "fusionrec"}):
        figure.savefig(part, format="svg", metadata={"Date": None})
    part.replace(path)
