"""What a part is worth: its evidence is taken away, and both fusions are compared on the same users."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionrec.errors import BadInputError
from fusionrec.feature_spec import DAY_MS, EVENT_CODES
from training import ablation
from training.ablation import Ablation, ablate, without_parts, worth_of_parts
from training.fusion.candidates import EvidenceTable
from training.fusion.evidence import N_SHARED
from training.fusion.stacker import StackerConfig
from training.fusion.stacker_fit import StackerFitConfig
from training.interactions import Interactions
from training.leaving_out import leave_out
from training.loop import LoopConfig
from training.models.attention import AttentionConfig
from training.models.graph import GraphConfig
from training.models.moments import MomentsConfig
from training.models.two_tower import TwoTowerConfig
from training.protocols import leave_one_out
from training.recipe import Recipe
from training.shop import NOW_MS
from training.stages import Stages

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
    less = without_parts(whole, [1])
    assert torch.equal(less.told, whole.told[:, [0, 2]])
    kept = [*range(N_SITUATION), N_SITUATION, N_SITUATION + 2, N_SITUATION + 3, N_SITUATION + 5]
    assert torch.equal(less.user, whole.user[:, kept])
    assert torch.equal(less.relevant, whole.relevant)


def test_the_part_that_knows_is_worth_most() -> None:
    ndcg, n_users, worth, together = worth_of_parts(table(), ["one", "two", "three"], SMALL)
    assert n_users == 200
    assert [each.part for each in worth] == ["one", "two", "three"]
    knows = worth[1]
    assert knows.low > 0.1
    assert knows.without + knows.loss == pytest.approx(ndcg, abs=1e-6)
    assert max(worth[0].loss, worth[2].loss) < knows.loss / 4
    idle = [each.part for each in worth if each.loss <= 0]
    assert (together.part if together else None) == (", ".join(idle) if len(idle) > 1 else None)
    assert all(each.low <= each.loss <= each.high for each in worth)


def test_parts_that_are_not_missed_alone_are_taken_away_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the first two stands in for the other: alone neither is missed, together they are."""
    looks = iter(torch.full((1, 4), value) for value in (0.5, 0.5, 0.6, 0.3, 0.2))
    given: list[int] = []

    def look(table: EvidenceTable, config: StackerFitConfig, device: object) -> torch.Tensor:
        given.append(table.told.shape[1])
        return next(looks)

    monkeypatch.setattr(ablation, "held_out", look)
    *_, together = worth_of_parts(table(4), ["one", "two", "three"], SMALL)
    assert given == [3, 2, 2, 2, 1]
    assert together is not None
    assert together.part == "one, two"
    assert together.loss == pytest.approx(0.3)


N_USERS, N_ITEMS, N_EVENTS = 40, 12, 7
TINY = Recipe(
    attention=AttentionConfig(dim=8, n_layers=1, max_length=8, loop=LoopConfig(n_epochs=2)),
    two_tower=TwoTowerConfig(dim=8, loop=LoopConfig(n_epochs=2), moments=MomentsConfig(n_negatives=16)),
    graph=GraphConfig(n_factors=4),
    stacker=replace(SMALL, n_held_out=8),  # where that is enough; an ablation wants all of them
    labels="step-back",
)


def walkers() -> Interactions:
    """Each user goes round the items one by one from a place of its own: what comes next is known, by order alone."""
    start = np.random.default_rng(0).integers(0, N_ITEMS, N_USERS)
    n = N_USERS * N_EVENTS
    return Interactions(
        n_items=N_ITEMS,
        offsets=np.arange(N_USERS + 1) * N_EVENTS,
        items=((start[:, None] + np.arange(N_EVENTS)) % N_ITEMS + 1).ravel(),
        events=np.full(n, EVENT_CODES["purchase"]),
        sent_at=np.tile(NOW_MS - np.arange(N_EVENTS, 0, -1) * DAY_MS, N_USERS),
        sessions=np.tile(np.arange(N_EVENTS), N_USERS),
    )


def ablated(data: Interactions, folder: Path, heard: list[tuple[str, float]]) -> Ablation:
    stages = Stages(folder, lambda what, share: heard.append((what, share)))
    return ablate(stages, data, leave_one_out(data), "mask", "walkers")


class TestAblate:
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def small_recipe(cls):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Recipe, "for_split", classmethod(lambda *_: TINY))
            yield

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("work")

    @pytest.fixture(scope="class")
    @classmethod
    def heard(cls) -> list[tuple[str, float]]:
        return []

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, small_recipe: None, folder: Path, heard: list[tuple[str, float]]) -> Ablation:
        return ablated(walkers(), folder, heard)

    def test_every_kind_of_part_is_judged_and_those_of_the_usual_recipe_are_named(self, found: Ablation) -> None:
        assert [worth.part for worth in found.parts] == [
            "popularity", "ease", "transitions", "slist", "attention", "item_knn", "als", "graph", "two_tower",
            "frequency",
        ]  # fmt: skip
        assert found.shipped == ["popularity", "ease", "attention", "graph", "two_tower"]
        assert list(found.costs) == [worth.part for worth in found.parts]
        assert all(cost.seconds > 0 for cost in found.costs.values())

    def test_all_parts_together_find_what_comes_next(self, found: Ablation) -> None:
        """By chance, the next of the eight items that a user has not had would score 0.45."""
        assert found.n_held_out == N_USERS
        assert found.ndcg > 0.8
        for worth in found.parts:
            assert worth.without + worth.loss == pytest.approx(found.ndcg, abs=1e-5)
            assert worth.low <= worth.loss <= worth.high
        row = found.as_json()["parts"]["transitions"]
        assert row["loss"] == found.parts[2].loss

    def test_what_was_measured_is_kept(self, found: Ablation, folder: Path) -> None:
        heard: list[tuple[str, float]] = []
        again = ablated(walkers(), folder, heard)
        assert again.as_json() == found.as_json()
        assert again.costs == found.costs
        assert len(heard) == 12
        assert all(what.endswith("(kept)") for what, _ in heard), heard

    def test_progress_is_told_from_the_evidence_on(self, found: Ablation, heard: list[tuple[str, float]]) -> None:
        shares = [share for what, share in heard if what == "leaving out one part each"]
        assert shares == sorted(shares)
        assert 0.0 < shares[1] <= 0.2
        assert len(shares) > len(found.parts)

    def test_the_test_window_is_not_looked_at(self, found: Ablation, tmp_path: Path) -> None:
        data = walkers()
        last = data.offsets[1:] - 1
        items = data.items.copy()
        items[last] = np.random.default_rng(1).permutation(items[last])
        assert (items != data.items).any()
        assert ablated(replace(data, items=items), tmp_path, []).as_json() == found.as_json()

    def test_of_many_requests_some_are_judged(
        self, found: Ablation, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ablation, "MOST_JUDGED", 15)
        assert ablated(walkers(), tmp_path, []).n_held_out == 15

    def test_leaving_parts_out_altogether_costs_what_only_they_know(self, folder: Path) -> None:
        data = walkers()
        stages = Stages(folder, lambda *_: None)
        cut = leave_one_out(data)
        ndcg, n_held_out, worth = leave_out(stages, data, cut, "mask", "walkers", ["attention", "slist", "transitions"])
        assert (n_held_out, worth.part) == (N_USERS, "attention, slist, transitions")
        assert ndcg > 0.8
        assert worth.without < ndcg
        assert worth.loss == pytest.approx(ndcg - worth.without, abs=1e-6)
        assert worth.low <= worth.loss <= worth.high
        made = [path.name for path in folder.glob("fusion of *, held out-*")]
        assert sorted(name.split()[2] for name in made) == ["4", "7"]  # transitions and slist are off in this recipe

    @pytest.mark.parametrize(
        ("names", "told"),
        [(["magic"], "no part magic; there are popularity, ease, transitions"), (list("all"), "no part a, l")],
    )
    def test_parts_that_there_are_not_are_refused(self, folder: Path, names: list[str], told: str) -> None:
        with pytest.raises(BadInputError, match=told) as caught:
            leave_out(Stages(folder, lambda *_: None), walkers(), leave_one_out(walkers()), "mask", "walkers", names)
        assert caught.value.pointer == "--without"

    def test_something_has_to_be_left(self, folder: Path) -> None:
        usual = ["popularity", "ease", "attention", "graph", "two_tower"]
        with pytest.raises(BadInputError, match="nothing is left"):
            leave_out(Stages(folder, lambda *_: None), walkers(), leave_one_out(walkers()), "mask", "walkers", usual)
