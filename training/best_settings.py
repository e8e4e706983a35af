"""Settings that a search found, with their evidence: `data/<dataset>/search/best-<part>.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fusionrec.errors import DataError
from training.data.dataset import Dataset

C = TypeVar("C")


def best_settings(dataset: Dataset, part: str, default: C) -> C:
    """`default` (a part's config) with what a search found for this data set, if that is in use; else `default`.

    raises: DataError when the file is no JSON, or names a setting that the part no longer has
    """
    path = best_file(dataset, part)
    if not path.exists():
        return default
    try:
        found = json.loads(path.read_bytes())
        return with_values(default, found["settings"]) if found["in_use"] else default
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot be used ({error}); delete it, or run `fusionrec search --part {part}` again", pointer=str(path)
        ) from None


def best_file(dataset: Dataset, part: str) -> Path:
    return dataset.folder / "search" / f"best-{part}.json"


def write_best(path: Path, found: Mapping[str, Any]) -> None:
    """By rename, so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.part")
    scratch.write_text(json.dumps(found, indent=1) + "\n")
    scratch.replace(path)


def with_values(config: C, values: Mapping[str, Any]) -> C:
    """The config with other values. Keys are paths, such as `loop.learning_rate`. Raises KeyError.

    >>> from training.models.ease import EaseConfig
    >>> with_values(EaseConfig(), {"l2": 7.0, "fading.half_life_days": 9.0}).fading.half_life_days
    9.0
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"{config!r} has no settings")
    known = {field.name for field in fields(config)}
    changed: dict[str, Any] = {}
    for name in {path.partition(".")[0] for path in values}:
        if name not in known:
            raise KeyError(f"{type(config).__name__} has no setting {name}")
        inner = {path.partition(".")[2]: value for path, value in values.items() if path.partition(".")[0] == name}
        changed[name] = inner[""] if "" in inner else with_values(getattr(config, name), inner)
    return replace(config, **changed)


def value_at(config: Any, path: str) -> Any:
    """The value at a path, such as `fading.half_life_days`."""
    for name in path.split("."):
        config = getattr(config, name)
    return config
