"""On a GPU everything but the loop computes in full precision: the same as on the CPU, but for rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose

from training.devices import CPU, Device, choose
from training.evaluate import all_scores, rank
from training.fusion.candidates import collect, inputs_on, tabulate
from training.fusion.facts import ItemFacts
from training.fusion.stacker_fit import StackerFitConfig, held_out
from training.models.ease import Ease, EaseConfig
from training.models.protocol import Run
from training.models.slist import Slist, SlistConfig
from training.protocols import leave_one_out
from training.shop import NOW_MS, random_ranker, two_taste_shop, with_answers

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: torch.cuda.is_available() is false")

FULL = Device("cuda")  # without half precision


def test_a_ranker_of_every_part_scores_as_on_the_cpu_and_comes_back_to_it() -> None:
    data = with_answers(two_taste_shop())
    requests = leave_one_out(data).test
    ranker = random_ranker(data.n_items)
    found = []
    for device in (CPU, FULL):
        with device.holding(ranker), torch.inference_mode():
            arrays = inputs_on(ranker.device, data, requests, np.arange(len(requests.users)))
            eligible = torch.ones(len(requests.users), data.n_items + 1, dtype=torch.bool, device=ranker.device)
            scores = all_scores(ranker, (arrays[0], arrays[1], arrays[2]), eligible)
            found.append({name: each.cpu().numpy() for name, each in scores.items()})
            rank(ranker, data, requests, seen="mask", seed=0)
    assert ranker.device == torch.device("cpu")
    for name, expected in found[0].items():
        assert_allclose(found[1][name], expected, rtol=1e-3, atol=1e-3, err_msg=name)


def test_the_fusions_tables_are_those_of_the_cpu_and_lie_there() -> None:
    data = with_answers(two_taste_shop())
    cut = leave_one_out(data)
    ranker, facts = random_ranker(data.n_items), ItemFacts(data.n_items).fit(cut.fit, NOW_MS)
    tables = []
    for device in (CPU, FULL):
        with device.holding(ranker):
            told = tabulate(ranker, facts, data, cut.validation, mask_seen=True)
            tables.append((*collect(ranker, data, cut.validation, 6, mask_seen=True), *told))
    for one, other in zip(*tables, strict=True):
        assert one.device == other.device == torch.device("cpu")
        assert_allclose(other.float(), one.float(), rtol=1e-2, atol=1e-2)
    config = StackerFitConfig(n_steps=3, n_rounds=2)
    here, there = (held_out(told, config, device=device) for device in (CPU, FULL))
    assert_allclose(there[0], here[0], atol=1e-3)  # before learning; after it dropout draws other numbers on a GPU
    assert there.shape == here.shape


def test_a_table_is_whole_when_it_is_read() -> None:
    """What comes from a GPU is copied while the program goes on, unless it waits."""
    data = with_answers(two_taste_shop())
    requests, ranker = leave_one_out(data).validation, random_ranker(data.n_items)
    with FULL.holding(ranker):
        first = collect(ranker, data, requests, 6)
        for _ in range(20):
            for one, other in zip(first, collect(ranker, data, requests, 6), strict=True):
                assert_allclose(other, one, atol=1e-3)


@pytest.mark.parametrize("told", [True, False], ids=["with content", "sets alone"])
def test_closed_forms_have_the_weights_of_the_cpu(told: bool) -> None:
    data = with_answers(two_taste_shop())
    if told:
        words = np.random.default_rng(0).random((data.n_items + 1, 5), np.float32)
        words[0] = 0.0
        data = replace(data, content=sp.csr_matrix(words / np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1)))
    inputs = leave_one_out(data).test.inputs(data, [0, 1, 2])
    on_cpu, on_gpu = (
        [
            Ease(data.n_items, EaseConfig(l2=1.0, content=1.0)).fit(data, NOW_MS, Run(device=device)),
            Slist(data.n_items, SlistConfig(l2=1.0, content=1.0)).fit(data, NOW_MS, Run(device=device)),
        ]
        for device in (CPU, FULL)
    )
    for here, there in zip(on_cpu, on_gpu, strict=True):
        assert_allclose(there.score(inputs), here.score(inputs), rtol=1e-3, atol=1e-4)


def test_auto_takes_the_gpu() -> None:
    assert choose("auto").kind == "cuda"
