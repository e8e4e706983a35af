"""Which of several fits counts, what is kept of earlier pairs, and that ours are judged at the row of their user."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import peer_pairs
from training.protocols import leave_one_out
from training.recipe import Recipe
from training.shop import two_taste_shop


def test_the_least_cpu_time_counts_and_all_are_told() -> None:
    runs = [{"fit_cpu_seconds": cpu, "fit_seconds": wall} for cpu, wall in ((3.0, 4.0), (1.25, 9.0), (2.0, 2.0))]
    found = peer_pairs.least(runs)
    assert (found["fit_cpu_seconds"], found["fit_seconds"]) == (1.25, 9.0)
    assert found["all_fit_cpu_seconds"] == [3.0, 1.25, 2.0]


def test_pairs_that_were_measured_before_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "pairs.json"
    about = {"data_hash": "a", "seen": "mask"}
    assert peer_pairs.kept(path, about) == []
    path.write_text(json.dumps({**about, "rows": [{"pair": "als"}]}))
    assert peer_pairs.kept(path, about) == [{"pair": "als"}]
    assert peer_pairs.kept(path, about | {"data_hash": "b"}) == []


def test_our_parts_are_fitted_as_the_recipe_says_and_rank_what_was_not_seen() -> None:
    data = two_taste_shop().interactions
    whole = leave_one_out(data)
    asked = np.random.default_rng(0).permutation(len(whole.test.users))[:-3]  # not all, and in another order
    cut = replace(whole, test=whole.test.take(asked))
    recipe = Recipe.for_split(cut).with_everything(cut)
    for name in peer_pairs.PAIRS:
        part, cost = peer_pairs.fitted(name, cut, recipe)
        assert part.name == name
        assert cost["fit_cpu_seconds"] >= 0
        slates = peer_pairs.slates_of(part, cut, data, mask=True)
        assert slates.shape[0] == data.n_users
        for user, end in zip(cut.test.users, cut.test.ends, strict=True):
            seen = data.items[data.offsets[user] : end]
            assert not np.isin(slates[user][slates[user] > 0], seen).any()
            assert (slates[user] > 0).any()
