"""How long the first stage learns is chosen by users whom it has not seen, where few users teach it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from training.fusion.candidates import PartScores
from training.fusion.fit import FusionConfig, choose_steps, climb, fit_fusion, ideal_gain, ndcg

CONFIG = FusionConfig(n_steps=40)


def requests(n: int, tells: float, n_noise: int = 4, seed: int = 0) -> PartScores:
    """Part 0 is right of old; what the other parts say is noise, but for part 1, which tells as much as it is told."""
    make = torch.Generator().manual_seed(seed)
    relevant = torch.zeros(n, 30, dtype=torch.bool)
    relevant[torch.arange(n), torch.randint(0, 30, (n,), generator=make)] = True
    scores = torch.randn(n, 2 + n_noise, 30, generator=make)
    scores[:, 0] += 2.0 * relevant
    scores[:, 1] += tells * relevant
    return PartScores(scores, relevant, torch.randn(n, 4, generator=make), torch.zeros(n, 30))


def quality(found: torch.nn.Module, judge: PartScores) -> float:
    with torch.no_grad():
        fused: Tensor = found(judge.scores, judge.situation, judge.had).sum(dim=1)
    return float(ndcg(fused, judge.relevant, judge.relevant.sum(dim=1), CONFIG.k).mean())


def test_the_gain_is_divided_by_that_of_the_best_order() -> None:
    """Two relevant items on the second and third of three places; and with three places, four that are relevant."""
    scores, hits = torch.tensor([[1.0, 3.0, 2.0, 0.0]]), torch.tensor([[True, False, True, False]])
    found = ndcg(scores, hits, torch.tensor([2]), k=3)
    assert found.item() == pytest.approx((1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3)))
    three = 1 + 1 / math.log2(3) + 1 / 2
    assert ideal_gain(torch.tensor([1, 3, 4]), k=3).tolist() == pytest.approx([1.0, three, three])


def test_few_users_and_noise_are_not_learnt_by_heart() -> None:
    learnt, fresh = requests(60, tells=0.0), requests(4000, tells=0.0, seed=1)
    *_, longest = climb(learnt, CONFIG)
    start = next(climb(learnt, CONFIG))
    chosen = fit_fusion(learnt, CONFIG)
    assert quality(longest, fresh) < quality(start, fresh) - 0.02, "this case does not tempt"
    assert quality(chosen, fresh) > quality(longest, fresh) + 0.01


def test_what_a_second_part_tells_is_learnt_by_few_users_too() -> None:
    learnt, fresh = requests(200, tells=2.0), requests(4000, tells=2.0, seed=1)
    assert choose_steps(learnt, CONFIG) > 0
    assert quality(fit_fusion(learnt, CONFIG), fresh) > quality(next(climb(learnt, CONFIG)), fresh) + 0.05


def test_many_users_take_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> int:
        pytest.fail("the number of steps was chosen")

    monkeypatch.setattr("training.fusion.fit.choose_steps", asked)
    fit_fusion(requests(30, tells=0.0), replace(CONFIG, few=29, n_steps=1))


def test_no_more_steps_are_chosen_than_there_are() -> None:
    """The last look comes after the last step, also where that is no multiple of the steps between two looks."""
    assert choose_steps(requests(200, tells=2.0), replace(CONFIG, n_steps=3)) == 3
