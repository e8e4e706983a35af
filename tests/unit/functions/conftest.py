from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

os.environ.setdefault("POWERTOOLS_METRICS_DISABLED", "true")

from functions import wiring
from fusionrec.absorb import Absorber, Consumer
from fusionrec.active_model import ActiveModel
from fusionrec.adapters.local_files import DirectSink
from fusionrec.adapters.memory import (
    FixedClock,
    MemoryBundles,
    MemoryDeadLetters,
    MemoryFeatures,
    MemoryLinks,
    MemoryLog,
    MemorySlates,
)
from fusionrec.adapters.memory_texts import MemoryTexts
from fusionrec.ingest import Ingester
from fusionrec.observability import metrics
from fusionrec.profile import Profiles
from fusionrec.recommend import Recommender
from tests.suites.serving import NOW


@dataclass
class World:
    """The fakes behind the handlers, to be spoilt by a test."""

    users: MemoryFeatures
    bundles: MemoryBundles
    dead: MemoryDeadLetters
    texts: MemoryTexts


@pytest.fixture
def world(toy_bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    clock = FixedClock(NOW)
    users, bundles = MemoryFeatures(clock), MemoryBundles({"toy": toy_bundle}, "toy")
    models = ActiveModel(bundles)
    dead, texts = MemoryDeadLetters(), MemoryTexts()
    absorber = Absorber(users, users, clock, MemoryLinks())
    sink = DirectSink(absorber)
    made = {
        "models": models,
        "catalogues": models,
        "recommender": Recommender(users, models, MemorySlates(), clock),
        "ingester": Ingester(sink, MemoryLog(), users, models, clock),
        "profiles": Profiles(users, clock),
        "absorber": absorber,
        "texts": texts,
        "consumer": Consumer(absorber, sink, dead),
    }
    for name, use_case in made.items():
        monkeypatch.setattr(wiring, name, lambda use_case=use_case: use_case)
    yield World(users, bundles, dead, texts)
    metrics.clear_metrics()
