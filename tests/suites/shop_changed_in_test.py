"""One shop twice: the same but for what users did in the test window; with times, prices and words, or with ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.dataset import Dataset
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named

N_USERS, N_ITEMS, N_DAYS, N_TEST_DAYS = 40, 24, 100, 20
WORDS = ["oat", "rye", "fig", "plum", "mint", "leek", "kale", "pear", "bean", "corn"]


def walks() -> list[list[int]]:
    """Users of different lengths go round the items, skip some, and come to none twice."""
    draw = np.random.default_rng(0)
    steps = [draw.choice([1, 1, 1, 2], 5 + user % 6) for user in range(N_USERS)]
    return [((draw.integers(N_ITEMS) + np.cumsum(own)) % N_ITEMS).tolist() for own in steps]


def moments() -> list[list[float]]:
    """Days on which they did that, oldest first; the very last is the end of the data."""
    draw = np.random.default_rng(1)
    days = [np.sort(draw.uniform(0, N_DAYS, 5 + user % 6)) for user in range(N_USERS)]
    end = max(own[-1] for own in days)
    return [(own * N_DAYS / end).tolist() for own in days]


def otherwise(user: int, own: list[int], place: int) -> int:
    """What a user turned to instead: most to what they began with, so that counts and repeats are others, too."""
    return own[0] if user % 3 else (own[place] + N_ITEMS // 2) % N_ITEMS


def line(user: int, item: int, kind: str, day: float, price: int) -> str:
    return f"u{user},i{item},{kind},{1.7e9 + day * 86_400:.0f},{price}"


def with_times(home: Path, *, changed: bool) -> Dataset:
    """Changed in the test window are items, types, prices, how often users come, and when, but for the very last."""
    lines = ["userId,itemId,eventType,sentAt,priceCents"]
    for user, (own, days) in enumerate(zip(walks(), moments(), strict=True)):
        for place, day in enumerate(days):
            kind, other = ("purchase", "view") if (user + place) % 3 else ("view", "purchase")
            price = 100 + 10 * own[place]
            if not changed or day <= N_DAYS - N_TEST_DAYS:
                lines.append(line(user, own[place], kind, day, price))
                continue
            item, left = otherwise(user, own, place), 0.9 * (N_DAYS - day)
            lines.append(line(user, item, other, N_DAYS - left, 3 * price))
            if user % 4 == 0:
                lines.append(line(user, item, other, N_DAYS - 0.99 * left, 2 * price))
    draw = np.random.default_rng(2)
    # At random: where blocks of items are told alike, a singular value decomposition is not unique and fits differ.
    words = [" ".join(draw.choice(WORDS, 3, replace=False)) for _ in range(N_ITEMS)]
    catalogue = ["itemId,name,category", *(f"i{item},{name},kind {item // 4}" for item, name in enumerate(words))]
    (home / "events.csv").write_text("\n".join(lines) + "\n")
    (home / "items.csv").write_text("\n".join(catalogue) + "\n")
    inputs = Inputs(home=home, events=home / "events.csv", items=home / "items.csv")
    options = Options(test_days=N_TEST_DAYS, validation_days=N_TEST_DAYS)
    return prepare(source_named("csv"), inputs, "shop", options, lambda _: None)[0]


def without_times(home: Path, *, changed: bool) -> Dataset:
    lines = []
    for user, own in enumerate(walks()):
        last = otherwise(user, own, len(own) - 1) if changed else own[-1]
        lines.append(" ".join(map(str, [user, *own[:-1], last])))
    (home / "shop.txt").write_text("\n".join(lines) + "\n")
    inputs = Inputs(home=home, path=home / "shop.txt")
    return prepare(source_named("amazon-sequences"), inputs, "shop", Options(), lambda _: None)[0]
