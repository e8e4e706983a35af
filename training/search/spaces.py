"""What may vary in each part, and how far: one table a part. The paths are those of the parts' config dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import optuna

from fusionrec.errors import BadInputError
from training.best_settings import value_at
from training.models.als import Als, AlsConfig
from training.models.attention import Attention, AttentionConfig
from training.models.content import Content, ContentConfig
from training.models.ease import Ease, EaseConfig
from training.models.graph import Graph, GraphConfig
from training.models.item_knn import ItemKnn, ItemKnnConfig
from training.models.popularity import Popularity, PopularityConfig
from training.models.protocol import Part
from training.models.slist import Slist, SlistConfig
from training.models.transitions import Transitions, TransitionsConfig
from training.models.two_tower import TwoTower, TwoTowerConfig


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers between two, both included; whole ones if both ends are."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: optuna.Trial, path: str) -> float:
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(path, self.low, self.high, log=self.log)
        return trial.suggest_float(path, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def suggest(self, trial: optuna.Trial, path: str) -> Any:
        return trial.suggest_categorical(path, self.values)

    def holds(self, value: Any) -> bool:
        return value in self.values


Space = Mapping[str, Range | Choice]


@dataclass(frozen=True, slots=True)
class Searchable:
    """A part with its plain config and what may vary in it."""

    part: type[Part]
    config: type[Any]
    space: Space

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        return {path: choice.suggest(trial, path) for path, choice in self.space.items()}

    def values_of(self, config: Any) -> dict[str, Any]:
        """What a config says, where the space has it; the rest is left to the search."""
        found = {path: value_at(config, path) for path in self.space}
        return {path: value for path, value in found.items() if self.space[path].holds(value)}


FADING: Final[Space] = {
    "fading.half_life_days": Range(5.0, 500.0, log=True),
    "fading.half_life_steps": Range(1.0, 200.0, log=True),
}

LOOP: Final[Space] = {
    "loop.learning_rate": Range(3e-4, 2e-2, log=True),
    "loop.weight_decay": Range(0.0, 0.1),
    "loop.n_epochs": Range(1, 40),
    "loop.patience": Choice((0, 2, 4)),  # epochs; 0: no early stopping
}

PARTS: Final[dict[str, Searchable]] = {
    "popularity": Searchable(
        Popularity,
        PopularityConfig,
        {
            "half_life_days": Range(3.0, 365.0, log=True),
            "horizon_days": Range(7.0, 60.0),
            "prior": Range(0.5, 50.0, log=True),
            "ridge": Range(1e-5, 1e-1, log=True),
            "n_segments": Choice((0, 16, 48, 128)),
            "segment_prior": Range(3.0, 3000.0, log=True),
        },
    ),
    "ease": Searchable(Ease, EaseConfig, {"l2": Range(5.0, 5000.0, log=True), "content": Range(0.0, 60.0), **FADING}),
    "transitions": Searchable(
        Transitions,
        TransitionsConfig,
        {
            "window": Range(3, 40),
            "decay": Range(0.4, 0.99),
            "backwards": Range(0.0, 1.0),
            "row_power": Range(0.0, 1.0),
            "column_power": Range(0.0, 0.8),
            "n_alike": Range(0, 50),
            **FADING,
        },
    ),
    "slist": Searchable(
        Slist,
        SlistConfig,
        {
            "l2": Range(5.0, 5000.0, log=True),
            "sets": Range(0.0, 3.0),
            "content": Range(0.0, 60.0),
            "decay": Range(0.0, 0.95),
            **FADING,
        },
    ),
    "content": Searchable(Content, ContentConfig, {"n_neighbours": Range(20, 300, log=True), **FADING}),
    "als": Searchable(
        Als,
        AlsConfig,
        {
            "n_factors": Range(16, 256, log=True),
            "n_iterations": Range(5, 30),
            "alpha": Range(1.0, 200.0, log=True),
            "l2": Range(0.1, 100.0, log=True),
            **FADING,
        },
    ),
    "item_knn": Searchable(
        ItemKnn,
        ItemKnnConfig,
        {
            "power": Range(0.0, 1.0),
            "user_power": Range(0.0, 1.0),
            "shrink": Range(0.0, 50.0),
            "n_neighbours": Range(20, 300, log=True),
            **FADING,
        },
    ),
    "graph": Searchable(
        Graph,
        GraphConfig,
        {"n_factors": Range(16, 256, log=True), "smooth": Range(0.0, 3.0), "content": Range(0.0, 3.0), **FADING},
    ),
    "two_tower": Searchable(
        TwoTower,
        TwoTowerConfig,
        {
            "dim": Choice((32, 48, 64, 96, 128)),
            "n_attributes": Range(0, 128),
            "deep": Choice((False, True)),
            "dropout": Range(0.0, 0.6),
            "moments.popularity_power": Range(0.0, 1.0),
            **LOOP,
        },
    ),
    "attention": Searchable(
        Attention,
        AttentionConfig,
        {
            "dim": Choice((32, 48, 64, 96, 128)),
            "n_layers": Range(1, 3),
            "dropout": Range(0.0, 0.6),
            "low_pass": Range(0.0, 0.9),
            "contrast": Range(0.0, 0.3),
            **LOOP,
        },
    ),
}


_NEED_CONTENT: Final = (
    "content",
    "n_alike",
    "n_attributes",
    "n_segments",
    "segment_prior",
)  # settings that do nothing where the catalogue has no words


def searchable(part: str, has_content: bool = True) -> Searchable:
    """Raises BadInputError that names the parts."""
    if part not in PARTS:
        raise BadInputError(f"{part!r} is not one of {', '.join(PARTS)}", pointer="--part")
    what = PARTS[part]
    if has_content:
        return what
    return replace(what, space={path: choice for path, choice in what.space.items() if path not in _NEED_CONTENT})
