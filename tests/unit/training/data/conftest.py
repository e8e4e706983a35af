"""Small files of a shop's own, prepared by the real pipeline."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from training.data.dataset import Dataset
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named

HEADER = "userId,itemId,eventType,sentAt,eventValue,sessionId,priceCents,discountCents"
# Six shoppers, five items, never square; spread over 40 days so that every window holds something.
BASE = [
    f"u{n % 6},i{n % 5},purchase,2026-0{3 + n // 30}-{n % 28 + 1:02d}T10:{n % 60:02d}:00Z,1,,{100 + n},0"
    for n in range(60)
]


@dataclass
class Shop:
    """Writes files below `folder` and prepares them into `folder`/data."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "data"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def events(self, *lines: str, base: bool = True, header: str = HEADER) -> Path:
        """The base events are lines 2 to 61 of the file, the given ones follow."""
        return self.write("events.csv", "\n".join([header, *(BASE if base else []), *lines]) + "\n")

    def prepare(
        self, events: Path, name: str = "shop", items: Path | None = None, users: Path | None = None, **options: Any
    ) -> Dataset:
        inputs = Inputs(home=self.home, events=events, items=items, users=users)
        self.steps: list[str] = []
        dataset, self.reused = prepare(source_named("csv"), inputs, name, Options(**options), self.steps.append)
        return dataset

    def quarantine(self, dataset: Dataset) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO((dataset.folder / "quarantine.csv").read_text())))


@pytest.fixture(scope="session")
def make_shop() -> type[Shop]:
    return Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def rejected(shop: Shop) -> Callable[..., list[tuple[str, int, str, str]]]:
    """Prepare the base events and these lines; rule, line, field and value of what was rejected."""

    def run(*lines: str, **options: Any) -> list[tuple[str, int, str, str]]:
        dataset = shop.prepare(shop.events(*lines), **options)
        return [(row["rule"], int(row["line"]), row["field"], row["value"]) for row in shop.quarantine(dataset)]

    return run
