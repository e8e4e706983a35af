"""A small shop, prepared, with its features in a local Feast store. Made once; tests that write copy it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from training.data import sync
from training.data.dataset import Dataset
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.own_files import SOURCE

EVENTS = "\n".join(
    ["userId,itemId,eventType,sentAt,eventValue,priceCents"]
    + [f"u{n % 7},i{n % 5},purchase,2026-0{3 + n // 30}-{n % 28 + 1:02d}T10:{n:02d}:00Z,1,{100 + n}" for n in range(60)]
)


def silent(what: str, done: int, total: int) -> None:
    """A reporter for tests."""


@pytest.fixture(scope="session")
def prepared_shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    home = tmp_path_factory.mktemp("feast")
    (home / "events.csv").write_text(EVENTS)
    dataset, _ = prepare(SOURCE, Inputs(home, events=home / "events.csv"), "shop", Options(), lambda _: None)
    return dataset


@pytest.fixture
def fresh(prepared_shop: Dataset, tmp_path: Path) -> Dataset:
    """Prepared, nothing computed yet."""
    folder = tmp_path / "home" / "shop"
    shutil.copytree(prepared_shop.folder, folder)
    return Dataset.open(folder)


def sync_all(dataset: Dataset) -> Dataset:
    progress = sync.Progress.load(dataset)
    for stage in sync.STAGES:
        stage(dataset, progress, silent)
    return dataset


@pytest.fixture
def synced(fresh: Dataset) -> Dataset:
    """Computed, applied and materialized; the test may change it."""
    return sync_all(fresh)


@pytest.fixture(scope="session")
def shop(prepared_shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The same, made once: only to be read."""
    folder = tmp_path_factory.mktemp("synced") / "shop"
    shutil.copytree(prepared_shop.folder, folder)
    return sync_all(Dataset.open(folder))


@pytest.fixture(scope="session")
def store(shop: Dataset) -> Any:
    from training.data.feast_store import open_store  # noqa: PLC0415

    return open_store(shop)
