"""A shop's own events, prepared by the real pipeline: data without features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named

# Five users, u0 to u4, and seven items over 30 days, so that every window holds something.
EVENTS = [f"u{n % 5},i{n % 7},purchase,2026-03-{1 + n // 2:02d}T0{n % 10}:00:00Z" for n in range(60)]


def prepared_shop(home: Path, name: str = "shop", events: Sequence[str] = EVENTS) -> Path:
    """The folder of the data set; its events stay beside it as NAME.csv."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{name}.csv"
    path.write_text("\n".join(["userId,itemId,eventType,sentAt", *events]) + "\n")
    return prepare(source_named("csv"), Inputs(home=home, events=path), name, Options(), lambda _: None)[0].folder
