"""How much an event of the history counts: by its type, its age and its place, once for each item."""

from __future__ import annotations

import numpy as np
import torch
from numpy.testing import assert_allclose

from fusionrec.feature_spec import EVENT_CODES
from fusionrec.transforms import ModelInput
from training.models.ease import Ease, EaseConfig
from training.models.sparse_rows import Fading, presence
from training.shop import NOW_MS, two_taste_shop

WORTH = {"view": 0.3, "click": 0.5, "cart": 0.8, "purchase": 1.0, "rating": 1.0, "removal": 0.0}


def test_an_event_counts_by_its_type_its_age_and_its_place() -> None:
    """Half after ten days, half after two steps; item 7 counts where it stands last."""
    items = torch.tensor([[0, 7, 5, 7, 3]])
    worth = torch.tensor([[0.0, 1.0, 1.0, 0.3, 0.5]])
    age_days = torch.tensor([[0.0, 40.0, 20.0, 10.0, 10.0]])
    found = presence(items, worth, age_days, Fading(half_life_days=10.0, half_life_steps=2.0))
    assert_allclose(found, [[0.0, 0.0, 1.0 / 8, 0.3 / 2**1.5, 0.5 / 2]], rtol=1e-6)


def test_a_view_argues_less_for_an_item_than_a_purchase() -> None:
    model = Ease(10, EaseConfig(l2=1.0)).fit(two_taste_shop().interactions, NOW_MS)
    codes = np.array([[EVENT_CODES[name]] for name in WORTH])
    scores = model.score(ModelInput(np.full((6, 1), 2), codes, np.zeros((6, 1), np.float32)))
    bought = scores[list(WORTH).index("purchase")]
    assert bought[3] > 0.0
    assert_allclose(scores, np.outer(list(WORTH.values()), bought), rtol=1e-5)
