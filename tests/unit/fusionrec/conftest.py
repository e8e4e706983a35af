"""The shop whose items change after training, and who recommends from it. A module may have its own of these names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemorySlates
from fusionrec.recommend import Recommender
from tests.suites.live_shop import LiveShop
from tests.suites.serving import NOW


@pytest.fixture
def shop(toy_bundle: Path) -> LiveShop:
    return LiveShop(toy_bundle)


@pytest.fixture
def slates() -> MemorySlates:
    return MemorySlates()


@pytest.fixture
def use_case(shop: LiveShop, slates: MemorySlates) -> Recommender:
    return Recommender(MemoryFeatures(FixedClock(NOW)), shop.models, slates, FixedClock(NOW))
