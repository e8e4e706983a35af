"""The second stage: exact Shapley values, learning from what users did next, doing without where it does not pay."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import factorial

import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from training.devices import Device
from training.fusion.candidates import EvidenceTable
from training.fusion.evidence import N_SHARED, RECENT, Evidence, gather_evidence, standard, width_of, width_of_user
from training.fusion.facts import ItemFacts
from training.fusion.stacker import Ensemble, Stacker, StackerConfig
from training.fusion.stacker_fit import StackerFitConfig, choose_rounds, fit_stacker, held_out
from training.interactions import Interactions
from training.models.ease import Ease, EaseConfig
from training.models.popularity import Popularity
from training.models.transitions import Transitions
from training.shop import NOW_MS, two_taste_shop

N_PARTS, N_TOLD, N_USER = 3, 2, 5


def evidence(n_requests: int, n_candidates: int, seed: int = 0) -> Evidence:
    make = torch.Generator().manual_seed(seed)
    return Evidence(
        torch.randn(n_requests, N_PARTS, n_candidates, N_TOLD, generator=make),
        torch.randn(n_requests, n_candidates, N_SHARED, generator=make),
        torch.randn(n_requests, N_USER, generator=make),
    )


def stacker(seed: int = 0) -> Stacker:
    torch.manual_seed(seed)
    made = Stacker(N_PARTS, N_TOLD, N_USER, StackerConfig(hidden=6, dim=4)).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


class Without(torch.nn.Module):
    """The stacker as if only some parts spoke: the terms and pairs of the others vanish."""

    def __init__(self, whole: Stacker, present: tuple[int, ...]) -> None:
        super().__init__()
        self.whole, self.present = whole, list(present)

    def score(self, told: Evidence) -> Tensor:
        whole = self.whole
        n_parts, n_told, hidden = whole.shape
        seen = whole.standardised(told)
        gate = whole.gate(seen.user)
        total = torch.zeros(told.shared.shape[:2])
        hs = []
        for part in self.present:
            weights = whole.linear[part] + gate[:, part * n_told : (part + 1) * n_told]
            shift = gate[:, n_parts * n_told + part * hidden : n_parts * n_told + (part + 1) * hidden]
            inputs = torch.cat([seen.told[:, part], seen.shared], dim=2)
            silu = torch.nn.functional.silu
            inner = silu(inputs @ whole.first[part] + whole.first_bias[part] + shift[:, None])
            h = silu(inner @ whole.second[part] + whole.second_bias[part])
            total = total + (seen.told[:, part] * weights[:, None]).sum(dim=2)
            total = total + told.told[:, part, :, 1] * whole.trust[part] + h @ whole.own[part]
            hs.append(h)
        for one, other in combinations(hs, 2):
            total = total + (whole.pairs * one * other).sum(dim=2)
        return total


@pytest.mark.parametrize("part", range(N_PARTS))
def test_contributions_are_shapley_values(part: int) -> None:
    """Against the definition: the part's gain over every coalition of the others, weighted by its orders."""
    whole, told = stacker(), evidence(2, 7)
    others = [other for other in range(N_PARTS) if other != part]
    value = torch.zeros(2, 7)
    with torch.inference_mode():
        for size in range(len(others) + 1):
            for coalition in combinations(others, size):
                weight = factorial(size) * factorial(N_PARTS - size - 1) / factorial(N_PARTS)
                gain = Without(whole, (*coalition, part)).score(told) - Without(whole, coalition).score(told)
                value += weight * gain
        assert_allclose(whole(told)[:, part], value, atol=1e-5)


def test_before_learning_it_is_the_first_stage() -> None:
    told = evidence(3, 9)
    fresh = Stacker(N_PARTS, N_TOLD, N_USER, StackerConfig()).eval()
    with torch.inference_mode():
        assert_allclose(fresh(told), told.told[:, :, :, 1], atol=1e-6)


def table(n: int, teach: bool, seed: int = 3) -> EvidenceTable:
    """Part 0 is right after long histories (user 0 positive), part 1 after short ones; the other one is sure of another
    item then, so that who does not look at the user is right half the time. The first stage trusts both."""
    make = torch.Generator().manual_seed(seed)
    told, shared, user = evidence(n, 12, seed=seed + 1)
    relevant = torch.zeros(n, 12, dtype=torch.bool)
    relevant[torch.arange(n), torch.randint(0, 12, (n,), generator=make)] = True
    if teach:
        long = (user[:, 0] > 0).float()[:, None]
        decoy = relevant.roll(5, dims=1)
        told[:, 0, :, 0] += 3.0 * (relevant * long + decoy * (1.0 - long))
        told[:, 1, :, 0] += 3.0 * (relevant * (1.0 - long) + decoy * long)
    ones = torch.ones(n, dtype=torch.int64)
    return EvidenceTable(
        told.half(), shared.half(), user.half(), relevant, torch.ones(n, 12, dtype=torch.bool), torch.arange(n), ones
    )


def test_it_learns_which_part_is_right_for_whom() -> None:
    config = StackerFitConfig(n_steps=150, n_rounds=3, n_members=2, network=StackerConfig(hidden=8, dim=4))
    found, choice = fit_stacker(table(600, teach=True), config)
    assert found is not None
    assert choice.curve[choice.n_rounds] > choice.curve[0] + 0.1
    fresh = table(600, teach=True, seed=30)  # users whom it has not seen
    assert isinstance(found, Ensemble)
    with torch.inference_mode():
        first = found(fresh.evidence()).sum(dim=1).argmax(dim=1)
    assert (first == fresh.relevant.float().argmax(dim=1)).float().mean() > 0.57


def test_where_nothing_can_be_learnt_there_is_no_second_stage() -> None:
    config = StackerFitConfig(n_steps=100, n_rounds=2, network=StackerConfig(hidden=8, dim=4))
    found, choice = fit_stacker(table(300, teach=False), config)
    assert found is None
    assert choice.n_rounds == 0


def test_learning_twice_gives_the_same() -> None:
    config = StackerFitConfig(n_steps=40, n_rounds=2, n_members=1, network=StackerConfig(hidden=8, dim=4))
    one, other = (fit_stacker(table(300, teach=True), config) for _ in range(2))
    assert one[1] == other[1]
    assert one[0] is not None
    assert other[0] is not None
    assert_allclose(one[0](evidence(2, 5)).detach(), other[0](evidence(2, 5)).detach(), rtol=0, atol=0)


def test_another_seed_draws_folds_starts_and_order_anew() -> None:
    plain, other = (StackerFitConfig(n_rounds=2, n_members=1, seed=seed) for seed in (0, 1))
    one, two = (held_out(table(300, teach=True), config) for config in (plain, other))
    assert not torch.equal(one[0], two[0])  # before learning: other users come first
    (first, _), (second, _) = (fit_stacker(table(300, teach=True), config) for config in (plain, other))
    assert first is not None
    assert second is not None
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert any(not torch.allclose(mine, its) for mine, its in pairs)


def test_held_out_users_are_judged_once_each_and_not_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, learnt = table(100, teach=True), []
    fresh = Stacker(N_PARTS, N_TOLD, N_USER, StackerConfig()).eval()

    def remember(rows: EvidenceTable, config: StackerFitConfig, member: int, device: Device) -> Iterator[Stacker]:
        learnt.append(set(rows.users.tolist()))
        return iter([fresh, fresh])

    monkeypatch.setattr("training.fusion.stacker_fit.rounds", remember)
    assert held_out(labels, StackerFitConfig(n_rounds=1)).shape == (2, 100)
    judged = [set(range(100)) - users for users in learnt]
    assert [len(users) for users in judged] == [20] * 5
    assert set.union(*judged) == set(range(100))


@pytest.mark.parametrize(("gain", "n_rounds"), [(0.02, 5), (-0.02, 2)])
def test_learning_is_given_up_early_only_when_no_round_gained_anything(
    gain: float, n_rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gain within chance is no reason: the other users may make it certain."""
    fresh = Stacker(N_PARTS, N_TOLD, N_USER, StackerConfig()).eval()
    looks: list[int] = []

    def look(stacker: Stacker, judge: EvidenceTable, config: StackerFitConfig, device: Device) -> torch.Tensor:
        looks.append(len(judge.users))
        spread = torch.linspace(-1.0, 1.0, len(judge.users))  # its standard error is far above the gain
        return 0.5 + (gain + spread if (len(looks) - 1) % 6 else torch.zeros_like(spread))

    monkeypatch.setattr("training.fusion.stacker_fit._TELLING", 20)
    monkeypatch.setattr("training.fusion.stacker_fit.rounds", lambda *_, **__: iter([fresh] * 6))
    monkeypatch.setattr("training.fusion.stacker_fit.ndcg", look)
    found = held_out(table(100, teach=True), StackerFitConfig(n_rounds=5))
    assert found.shape == ((6, 100) if n_rounds == 5 else (n_rounds + 1, 20))


@pytest.mark.parametrize(("after", "chosen"), [([0.3, 0.1, 0.4, 0.3], 0), ([0.3, 0.3, 0.4, 0.5], 1)])
def test_a_gain_within_its_standard_error_is_none(
    after: list[float], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = torch.tensor([[0.1, 0.2, 0.3, 0.4], after])
    monkeypatch.setattr("training.fusion.stacker_fit.held_out", lambda *_: values)
    assert choose_rounds(table(10, teach=True), StackerFitConfig()).n_rounds == chosen


def test_evidence_looks_at_the_newest_items_one_by_one() -> None:
    data: Interactions = two_taste_shop().interactions
    parts = [
        Popularity(10).fit(data, NOW_MS),
        Ease(10, EaseConfig(l2=1.0)).fit(data, NOW_MS),
        Transitions(10).fit(data, NOW_MS),
    ]
    items = torch.tensor([[0, 0, 4, 2]])
    candidates = torch.tensor([[7, 3, 2]])
    scores = torch.randn(1, 3, 3)
    found = gather_evidence(
        parts,
        ItemFacts(10).fit(data, NOW_MS).table,
        (items, torch.zeros(1, 4)),
        candidates,
        scores,
        scores,
        torch.ones(1, 3, dtype=torch.bool),
    )
    assert found.told.shape == (1, 3, 3, width_of(parts))
    assert found.user.shape == (1, width_of_user(3))
    assert not found.told[0, 0, :, 2:].any()  # popularity knows no strengths
    strength = parts[1].between(items, candidates)
    newest, second = strength[0, 0, -1], strength[0, 0, -2]
    assert_allclose(found.told[0, 1, :, 2], newest, atol=1e-6)
    assert_allclose(found.told[0, 1, :, 3], second, atol=1e-6)
    assert not found.told[0, 1, :, 4].any()  # there is no third item
    expected = torch.stack([torch.zeros(3)] * (RECENT - 2) + [second, newest])
    assert_allclose(found.told[0, 1, :, 5], expected.amax(dim=0), atol=1e-6)
    assert_allclose(found.told[0, 1, :, 6], (newest + second) / 2, atol=1e-6)
    assert found.shared[0, :, -1].tolist() == [0.0, 0.0, 1.0]  # item 2 stands in the history


def test_fillers_do_not_move_the_scale() -> None:
    scores = torch.tensor([[[1.0, 3.0, 100.0]]])
    found = standard(scores, torch.tensor([[True, True, False]]))
    assert_allclose(found[0, 0], [-1.0, 1.0, 0.0], atol=1e-6)
