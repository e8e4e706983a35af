"""What the peers are given and how their answers are judged; the libraries themselves are not installed here."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers
from training.interactions import Interactions, Requests
from training.protocols import leave_one_out


@pytest.fixture
def data() -> Interactions:
    """Three users of 3, 5 and 2 events; the last has too few to be asked for."""
    items = np.array([4, 2, 9, 1, 2, 3, 4, 5, 7, 8])
    zeros = np.zeros(10, np.int64)
    times = np.array([0, 1, 2, 0, 1, 2, 3, 4, 0, 1]) * 86_400_000
    return Interactions(9, np.array([0, 3, 8, 10]), items, zeros + 1, times, zeros)


def test_peers_fit_without_the_last_two_and_see_all_before_the_last(data: Interactions, tmp_path: Path) -> None:
    peers.write_case(tmp_path, leave_one_out(data), data, mask=True, epochs=7)
    arrays, case = np.load(tmp_path / "arrays.npz"), json.loads((tmp_path / "case.json").read_text())
    assert arrays["fit_users"].tolist() == [0, 1, 1, 1, 2, 2]
    assert arrays["fit_items"].tolist() == [4, 1, 2, 3, 7, 8]
    assert arrays["history_users"].tolist() == [0, 0, 1, 1, 1, 1]
    assert arrays["history_items"].tolist() == [4, 2, 1, 2, 3, 4]
    assert (case["n_users"], case["n_items"], case["mask"], case["epochs"], case["length"]) == (3, 9, True, 7, 5)


def test_slates_are_judged_at_the_row_of_their_user(data: Interactions) -> None:
    cut = leave_one_out(data)
    slates = np.zeros((3, 20), np.int64)
    slates[0, 1], slates[1, 0] = 9, 5  # the wanted items of users 0 and 1: at rank 2 and 1
    judged = peers.judge(slates, data, cut.test)
    assert judged["hr@5"]["mean"] == 1.0
    assert judged["mrr@10"]["mean"] == 0.75
    assert judged["ndcg@10"]["mean"] == pytest.approx((1 / np.log2(3) + 1) / 2)
    wrong = np.roll(slates, 1, axis=0)
    assert peers.judge(wrong, data, cut.test)["hr@20"]["mean"] == 0.0


def test_a_request_of_a_later_user_finds_its_row(data: Interactions) -> None:
    slates = np.zeros((3, 20), np.int64)
    slates[2, 0] = 8
    last = Requests(np.array([2]), np.array([9]), np.array([10]), np.array([0]))
    assert peers.judge(slates, data, last)["hr@5"]["mean"] == 1.0


def test_the_smoke_test_has_its_own_small_catalogue(data: Interactions) -> None:
    small = peers.first_users(data, 2)
    assert small.n_users == 2
    assert small.n_items == 6
    assert small.items.tolist() == [4, 2, 6, 1, 2, 3, 4, 5]
    assert len(small.sent_at) == len(small.sessions) == 8


def test_our_rows_carry_their_own_costs_and_the_fusion_all_of_training() -> None:
    values = {name: {"mean": 0.5, "low": 0.4, "high": 0.6} for name in peers.metrics.NAMES}
    cost = {"seconds": 2.0, "cpu_seconds": 3.0, "peak_mib": 100.0}
    result = {
        "models": {"most_popular": values, "ease": values, "fusion": values},
        "costs": {"ease": cost, "fusion on validation": cost, "test window, seen items mask": cost},
    }
    rows = {row["model"]: row for row in peers.rows_of_ours(result, "ids only")}
    assert rows["ease, ids only"]["fit_cpu_seconds"] == 3.0
    assert rows["fusion, ids only"]["fit_seconds"] == 4.0
    assert rows["fusion, ids only"]["fit_peak_mib"] == 100.0
    assert rows["most popular, ids only"]["fit_seconds"] is None
    assert "| – | – | – |" in peers.table([rows["most popular, ids only"]])


def test_the_best_stands_first() -> None:
    def row(model: str, mean: float) -> dict[str, object]:
        value = {"mean": mean, "low": mean, "high": mean}
        costs = dict.fromkeys(("fit_seconds", "fit_cpu_seconds", "fit_peak_mib"), 1.0)
        return {"model": model, "metrics": {"hr@10": value, "ndcg@10": value}, **costs}

    lines = peers.table([row("worse", 0.1), row("better", 0.2)]).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| better", "| worse"]


def test_the_peers_script_needs_nothing_of_this_project() -> None:
    tree = ast.parse((Path(peers.__file__).with_name("peer_models.py")).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not {"training", "fusionrec", "benchmarks"} & {str(module).split(".")[0] for module in modules}
