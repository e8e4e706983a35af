"""Another seed for everything that a recipe's parts draw at random: starts, windows, negatives, dropout."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

C = TypeVar("C")


def seeded(config: C, seed: int) -> C:
    """A frozen config, or a recipe, with `seed` added to every field of that name, however deep; 0 changes nothing.

    The seeds are part of the configs, so what was kept of another seed's training is not taken for this one's.
    """
    changed: dict[str, Any] = {}
    for entry in fields(config):  # type: ignore[arg-type]
        value = getattr(config, entry.name)
        if entry.name == "seed":
            changed["seed"] = value + seed
        elif is_dataclass(value):
            changed[entry.name] = seeded(value, seed)
    return replace(config, **changed)  # type: ignore[type-var]
