"""What is written of an evaluation, and under which name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from training.commands.console import detail_tables, metric_table, show_evaluation
from training.evaluate import Evaluation, evaluate
from training.fusing import Fused
from training.fusion.additive import AdditiveFusion
from training.fusion.ranker import FusedRanker
from training.interactions import Requests
from training.models.ease import Ease, EaseConfig
from training.models.popularity import Popularity
from training.recipe import Recipe
from training.results import Result, write_results
from training.shop import NOW_MS, two_taste_shop, with_answers
from training.tradeoff import Point
from training.train import Judged
from training.variants import Variant

COSTS = {"ease": {"seconds": 1.5, "cpu_seconds": 1.25, "peak_mib": 300.0}}
POINTS = (Point(0.0, (0.3, 0.2, 0.4), (0.5, 0.4, 0.6)), Point(0.5, (0.2, 0.1, 0.3), (0.8, 0.7, 0.9)))


@pytest.fixture(scope="module")
def judged() -> Any:
    shop = two_taste_shop()
    data = with_answers(shop)
    ends = data.offsets[1:]
    requests = Requests(np.arange(14), ends - 1, ends, np.full(14, NOW_MS))
    parts = [part.fit(shop.interactions, NOW_MS) for part in (Popularity(10), Ease(10, EaseConfig(l2=1.0)))]
    ranker = FusedRanker(parts, AdditiveFusion(2), top_k=300).eval()
    evaluation = evaluate(ranker, data, requests, seen="mask")
    recipe = Recipe(labels="step-back")
    return Judged(ranker, Fused(ranker.fusion, None, None), evaluation, recipe, "leave-one-out", "abc")


def result(judged: Any, folder: Path, variant: Variant) -> Result:
    dataset = SimpleNamespace(folder=folder / "toy", name="toy", data_hash="0" * 64)
    prepared: Any = SimpleNamespace(dataset=dataset, variant=variant, ties="same moment")
    return Result(prepared, judged, POINTS, COSTS)


def test_a_variant_has_its_own_file_with_everything_in_it(judged: Any, tmp_path: Path) -> None:
    variant = Variant(ids_only=True, ties="shuffled", seed=3)
    paths = write_results(result(judged, tmp_path, variant), tmp_path / "copy.json")
    name = "leave-one-out-mask-ids-only-ties-shuffled-seed-3"
    folder = tmp_path / "toy" / "evaluation"
    assert paths == [folder / f"{name}.json", folder / f"{name}.svg", tmp_path / "copy.json", tmp_path / "copy.svg"]
    assert all(path.exists() for path in paths)
    found = json.loads(paths[0].read_text())
    assert found == json.loads(paths[2].read_text())
    assert (found["ids_only"], found["ties"]) == (True, {"order": "shuffled", "told_by": "same moment"})
    assert found["costs"] == COSTS
    assert found["trade_off"][1]["ndcg@10"] == {"mean": 0.2, "low": 0.1, "high": 0.3}
    assert set(found["models"]) == {"most_popular", "popularity", "ease", "fusion"}
    for row in found["models"].values():
        cut = [f"{metric}@{k}" for metric in ("hr", "ndcg", "mrr", "recall") for k in (5, 10, 20)]
        own = ["auc", "correlation", "diversity@10", "novelty@10", "popularity_lift@10"]
        assert set(row) == {*cut, *own, "coverage@5", "coverage@10", "coverage@20", "gini@10"}
    by_history = [cut for cut in found["segments"] if cut["by"] == "history"]
    assert sum(cut["n_users"] for cut in by_history) == found["n_users"] == 14
    assert set(by_history[0]["models"]["fusion"]) == {"hr@10", "ndcg@10"}


def test_another_seed_has_a_file_of_its_own(judged: Any, tmp_path: Path) -> None:
    assert result(judged, tmp_path, Variant(seed=3)).name == "leave-one-out-mask-seed-3.json"


def test_the_defaults_keep_their_name(judged: Any, tmp_path: Path) -> None:
    assert result(judged, tmp_path, Variant()).name == "leave-one-out-mask.json"


def test_a_fusion_of_other_labels_does_not_overwrite_the_usual_one(judged: Any, tmp_path: Path) -> None:
    other = replace(judged, recipe=Recipe(labels="earlier"), other_labels="earlier")
    path, *_ = write_results(result(other, tmp_path, Variant()))
    assert path.name == "leave-one-out-mask-labels-earlier.json"
    assert json.loads(path.read_text())["labels"] == "earlier"


def test_without_matplotlib_the_numbers_are_written_all_the_same(
    judged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.results.can_draw", lambda: False)
    paths = write_results(result(judged, tmp_path, Variant()))
    assert [path.suffix for path in paths] == [".json"]


def test_every_model_and_segment_is_on_the_screen(judged: Any) -> None:
    evaluation: Evaluation = judged.evaluation
    console = Console(width=80, record=True)
    console.print(metric_table(evaluation, "toy"))
    for table in detail_tables(evaluation, POINTS, COSTS):
        console.print(table)
    text = console.export_text()
    assert "…" not in text, text  # all fits into 80 columns
    for shown in ("most popular", "fusion", "history: 1-5", "target: popular", "auc", "gini", "peak MiB", "diversity"):
        assert shown in text


@pytest.mark.parametrize(("n_users", "told"), [(1, "one user"), (2, "2 users"), (29, "29 users"), (30, "")])
def test_few_users_are_a_caution_on_the_screen_and_in_the_file(
    judged: Any, tmp_path: Path, n_users: int, told: str
) -> None:
    few = replace(judged, evaluation=replace(judged.evaluation, n_users=n_users))
    path, *_ = write_results(result(few, tmp_path, Variant()))
    caution = json.loads(path.read_text())["caution"]
    console = Console(width=80, record=True)
    show_evaluation(console, few.evaluation, "toy")
    said = [line for line in console.export_text().splitlines() if line.startswith("caution: ")]
    if told:
        assert caution.startswith(f"judged on {told}; below 30 intervals are too narrow")
        assert said == [f"caution: {caution}"]
    else:
        assert caution == ""
        assert said == []
