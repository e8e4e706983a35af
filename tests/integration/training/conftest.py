"""A small prepared shop with two tastes, so that what is learnt beats what is popular."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from training.data.dataset import Dataset
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named

N_USERS, N_ITEMS, N_EVENTS = 70, 24, 18  # of each user


def events_csv() -> str:
    """Half of the shoppers walk through the even items, half through the odd ones, in steps of one or two."""
    rng, start = np.random.default_rng(0), datetime(2026, 3, 1, tzinfo=UTC)
    lines = ["userId,itemId,eventType,sentAt,eventValue,sessionId,priceCents,discountCents"]
    for user in range(N_USERS):
        place = int(rng.integers(0, N_ITEMS // 2))
        for n in range(N_EVENTS):
            place = (place + int(rng.integers(1, 3))) % (N_ITEMS // 2)
            at = start + timedelta(days=4 * n, hours=user % 24, minutes=int(rng.integers(0, 60)))
            lines.append(f"u{user},i{2 * place + user % 2:02d},purchase,{at:%Y-%m-%dT%H:%M:%SZ},1,,{100 + place},0")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Prepared below a home of its own; `walkers.folder.parent` is that home."""
    home: Path = tmp_path_factory.mktemp("home")
    (home / "events.csv").write_text(events_csv())
    inputs = Inputs(home=home, events=home / "events.csv", items=None, users=None)
    return prepare(source_named("csv"), inputs, "walkers", Options(), lambda _: None)[0]
