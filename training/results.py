"""Evaluation results as JSON, with what is needed to know what they are about, and the trade-off as a picture."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.data.dataset import Dataset
from training.data.protocols import caution_of
from training.models.protocol import Progress, silent
from training.plots import can_draw, trade_off_figure, write_svg
from training.stages import Stages
from training.tradeoff import Point, trade_off
from training.train import Judged, Prepared


@dataclass(frozen=True, slots=True)
class Result:
    """What an evaluation found. costs: stage → seconds, cpu_seconds, peak_mib of the run that did the work."""

    prepared: Prepared
    judged: Judged
    points: Sequence[Point] = ()
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the file: the protocol, what became of seen items, and what differs from the defaults."""
        labels = f"-labels-{self.judged.other_labels}" if self.judged.other_labels else ""
        variant = self.prepared.variant
        seed = f"-seed-{variant.seed}" if variant.seed else ""
        return f"{self.judged.protocol}-{self.judged.evaluation.seen}{variant.suffix}{labels}{seed}.json"


def costs_of(stages: Stages) -> dict[str, dict[str, float]]:
    """Stage → seconds, cpu_seconds and peak_mib, of the run that did the work."""
    return {name: asdict(cost) for name, cost in stages.costs.items()}


def measure_trade_off(prepared: Prepared, judged: Judged, progress: Progress = silent) -> list[Point]:
    """Accuracy against diversity on the test window."""
    cut = prepared.split(judged.protocol)
    background, seed = prepared.background(cut.fit), prepared.variant.seed
    seen = judged.evaluation.seen
    return trade_off(judged.ranker, prepared.data, cut.test, background, seen=seen, seed=seed, progress=progress)


def write_results(result: Result, out: Path | None = None) -> list[Path]:
    """Write below the data set's `evaluation/`, and to `out` (a file, or a folder). Returns the paths.

    Beside each JSON file goes the plot of accuracy against diversity, when matplotlib is there.
    """
    dataset = result.prepared.dataset
    text = json.dumps(as_json(result), indent=1, allow_nan=False) + "\n"
    written = []
    for path in places(dataset, result.name, out):
        write_json(path, text)
        written.append(path)
        if result.points and can_draw():
            title = f"{dataset.name}, {result.name.removesuffix('.json')}"
            write_svg(trade_off_figure(result.judged.evaluation, result.points, title), path.with_suffix(".svg"))
            written.append(path.with_suffix(".svg"))
    return written


def places(dataset: Dataset, name: str, out: Path | None) -> list[Path]:
    """Where the JSON goes: below the data set's `evaluation/`, and to `out`, a file or a folder."""
    found = [dataset.folder / "evaluation" / name]
    if out is not None:
        found.append(out / f"{dataset.name}-{name}" if out.is_dir() else out)
    return found


def write_json(path: Path, text: str) -> None:
    """By rename, so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)


def as_json(result: Result) -> dict[str, Any]:
    dataset, judged, variant = result.prepared.dataset, result.judged, result.prepared.variant
    return {
        "dataset": dataset.name,
        "data_hash": dataset.data_hash,
        "commit": commit(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "protocol": judged.protocol,
        "recipe": repr(judged.recipe),
        "labels": judged.recipe.labels,
        "key": judged.key,
        "ids_only": variant.ids_only,
        "encoder": variant.encoder,
        "ties": {"order": variant.ties, "told_by": result.prepared.ties},
        "seed": variant.seed,
        **judged.evaluation.as_json(),
        "caution": caution_of(judged.evaluation.n_users),
        "trade_off": [
            {"weight": point.weight, "ndcg@10": _interval(point.ndcg), "diversity@10": _interval(point.diversity)}
            for point in result.points
        ],
        "costs": {name: dict(cost) for name, cost in result.costs.items()},
    }


def _interval(value: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("mean", "low", "high"), value, strict=True))


def commit() -> str:
    """The checked-out commit, with `+` when files differ from it; '' outside a repository."""
    root = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
