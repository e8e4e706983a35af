"""Another seed reaches all that draws at random, and seed 0 is what there was."""

from __future__ import annotations

import numpy as np
import pytest

from tests.suites.models import shop_inputs
from training.loop import LoopConfig
from training.models.als import Als, AlsConfig
from training.models.attention import Attention, AttentionConfig
from training.models.moments import MomentsConfig
from training.models.two_tower import TwoTower, TwoTowerConfig
from training.protocols import leave_one_out
from training.recipe import Recipe
from training.seeding import seeded
from training.shop import NOW_MS, two_taste_shop


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    cut = leave_one_out(two_taste_shop().interactions)
    return Recipe.for_split(cut).with_everything(cut)


def test_seed_0_changes_nothing(recipe: Recipe) -> None:
    assert seeded(recipe, 0) == recipe


def test_every_part_that_draws_gets_the_seed_and_nothing_else_changes(recipe: Recipe) -> None:
    found, plain = repr(seeded(recipe, 7)), repr(recipe)
    assert plain.count("seed=0") >= 7  # loop and windows of two attentions, loop and moments of the towers, ALS
    assert "seed=0" not in found
    assert found.replace("seed=7", "seed=0") == plain


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (Attention, AttentionConfig(dim=8, n_layers=1, max_length=4, loop=LoopConfig(n_epochs=2))),
        (TwoTower, TwoTowerConfig(dim=8, loop=LoopConfig(n_epochs=2), moments=MomentsConfig(n_negatives=3))),
        (Als, AlsConfig(n_factors=3, n_iterations=1)),
    ],
)
def test_one_seed_agrees_with_itself_and_another_differs(kind: type, config: object) -> None:
    shop = two_taste_shop()
    plain, once, again = (
        kind(10, seeded(config, seed)).fit(shop.interactions, NOW_MS).score(shop_inputs(shop)) for seed in (0, 5, 5)
    )
    assert np.array_equal(once, again)
    assert np.abs(once - plain).max() > 1e-4
