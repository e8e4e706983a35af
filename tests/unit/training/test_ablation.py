"""What a part is worth: its evidence is taken away, and both fusions are compared on the same users."""

from __future__ import annotations

import pytest
import torch

from training import ablation
from training.ablation import without_part, worth_of_parts
from training.fusion.candidates import EvidenceTable
from training.fusion.evidence import N_SHARED
from training.fusion.stacker import StackerConfig
from training.fusion.stacker_fit import StackerFitConfig

N_PARTS, N_TOLD, N_SITUATION = 3, 2, 5
SMALL = StackerFitConfig(n_steps=30, n_rounds=2, network=StackerConfig(hidden=8, dim=4))


def table(n: int = 200) -> EvidenceTable:
    """Part 1 points at the answer, the others at nothing; the last columns of the user tell how sure each part is."""
    make = torch.Generator().manual_seed(0)
    told = torch.randn(n, N_PARTS, 12, N_TOLD, generator=make)
    relevant = torch.zeros(n, 12, dtype=torch.bool)
    relevant[torch.arange(n), torch.randint(0, 12, (n,), generator=make)] = True
    told[:, 1, :, 0] += 3.0 * relevant
    user = torch.randn(n, N_SITUATION + 2 * N_PARTS, generator=make)
    shared = torch.randn(n, 12, N_SHARED, generator=make)
    real, ones = torch.ones(n, 12, dtype=torch.bool), torch.ones(n, dtype=torch.int64)
    return EvidenceTable(told.half(), shared.half(), user.half(), relevant, real, torch.arange(n), ones)


def test_a_part_that_is_left_out_tells_nothing_at_all() -> None:
    whole = table(3)
    less = without_part(whole, 1)
    assert torch.equal(less.told, whole.told[:, [0, 2]])
    kept = [*range(N_SITUATION), N_SITUATION, N_SITUATION + 2, N_SITUATION + 3, N_SITUATION + 5]
    assert torch.equal(less.user, whole.user[:, kept])
    assert torch.equal(less.relevant, whole.relevant)


def test_the_part_that_knows_is_worth_most() -> None:
    ndcg, n_users, worth = worth_of_parts(table(), ["one", "two", "three"], SMALL)
    assert n_users == 200
    assert [each.part for each in worth] == ["one", "two", "three"]
    knows = worth[1]
    assert knows.low > 0.1
    assert knows.without + knows.loss == pytest.approx(ndcg, abs=1e-6)
    assert max(worth[0].loss, worth[2].loss) < knows.loss / 4
    assert all(each.low <= each.loss <= each.high for each in worth)


def test_a_fusion_that_was_given_up_early_is_compared_on_its_users_after_its_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All parts: four looks at six users. Without the part: two looks at the first four of them."""
    looks = iter([torch.arange(24.0).reshape(4, 6) / 24, torch.zeros(2, 4)])
    monkeypatch.setattr(ablation, "held_out", lambda table, config: next(looks))
    ndcg, n_users, (worth,) = worth_of_parts(table(3), ["one"], SMALL)
    assert n_users == 6
    assert ndcg == pytest.approx((18 + 23) / 2 / 24)
    assert worth.without == 0.0
    assert worth.loss == pytest.approx((6 + 9) / 2 / 24)  # the second look at the first four
