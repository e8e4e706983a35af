"""What `fusionrec update` starts from: a bundle's parts and fusion as they were fitted, and what they were fitted on.

One folder a bundle below the data set's `work/update/`, written whole and put in place by rename:

    state.json     version, hash of the events, what must not have changed since (`Conditions`)
    model.pt       `Fitted`
    precision.npy  EASE's precision, float64 (H, H), once an update has made it; memory 8 H² bytes
    counts.pt      what transitions counted, once an update has made it

Histories of users are in there: it is as private as the prepared events, and goes with `work/`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch

from fusionrec.errors import DataError
from fusionrec.feature_spec import spec_hash
from training.best_settings import best_file
from training.data.dataset import Dataset
from training.evaluate import Seen
from training.export import FEATURE_SERVICE
from training.fusing import Fused
from training.interactions import Interactions
from training.models.protocol import Part
from training.stages import code_hash

FOLDER: Final = Path("work") / "update"
_STATE, _MODEL, _PRECISION, _COUNTS = "state.json", "model.pt", "precision.npy", "counts.pt"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What an update cannot follow when it changes: it would mix two models."""

    code: str  # of the parts and the fusion
    settings: str  # of the parts, that a search found and put in use
    features: str  # hash of the feature service

    @classmethod
    def of(cls, dataset: Dataset, modules: Mapping[str, str]) -> Self:
        """As they are now. modules: part → the module of its class. Raises DataError."""
        code = code_hash([*modules.values(), "training.fusing", "training.interactions"])
        return cls(code, json.dumps(_settings_in_use(dataset, modules), sort_keys=True), spec_hash(FEATURE_SERVICE))

    def changed(self, now: Self) -> list[str]:
        """In words."""
        words = {"code": "code of the parts or the fusion", "settings": "settings in use", "features": "feature spec"}
        return [word for name, word in words.items() if getattr(self, name) != getattr(now, name)]


def _settings_in_use(dataset: Dataset, parts: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        path = best_file(dataset, part)
        try:
            told = json.loads(path.read_bytes()) if path.exists() else {"in_use": False}
            if told["in_use"]:
                found[part] = told["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"cannot be used ({error}); delete it and train again", pointer=str(path)) from None
    return found


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model as it was fitted on `data`; arrays about items have a row for each of `item_ids`, and padding.

    data: without contents and labels, which are read anew; top_k: length of the graph's ranking
    """

    parts: tuple[Part, ...]
    fused: Fused
    top_k: int
    seen: Seen  # what became of seen items when the model was judged: keep or mask
    item_ids: tuple[str, ...]
    user_ids: tuple[str, ...]  # in the order of `data.offsets`
    data: Interactions
    data_end_ms: int  # of the last preparation that it saw
    attention_ms: int  # and of the last that attention learnt from
    n_updates: int = 0  # since all parts were fitted together


@dataclass(frozen=True, slots=True)
class State:
    """Of one bundle."""

    version: str
    data_hash: str
    fitted: Fitted
    precision: npt.NDArray[np.float64] | None = None  # of the items of the EASE part, in its order
    counts: Any = None  # `feedback.incremental.TransitionCounts`

    def save(self, dataset: Dataset) -> None:
        """By rename: a reader finds all of it or nothing."""
        folder = dataset.folder / FOLDER / self.version
        part = folder.with_name(f".{self.version}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        slim = replace(self.fitted, data=replace(self.fitted.data, content=None, vectors=None, feedback=None))
        torch.save(slim, part / _MODEL)
        if self.precision is not None:
            np.save(part / _PRECISION, self.precision)
        if self.counts is not None:
            torch.save(self.counts, part / _COUNTS)
        modules = {each.name: type(each).__module__ for each in self.fitted.parts}
        told = {
            "version": self.version,
            "data_hash": self.data_hash,
            "modules": modules,
            "conditions": asdict(Conditions.of(dataset, modules)),
        }
        (part / _STATE).write_text(json.dumps(told, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def is_kept(dataset: Dataset, version: str) -> bool:
    return (dataset.folder / FOLDER / version / _STATE).is_file()


def load(dataset: Dataset, version: str) -> State:
    """raises: DataError, with the remedy, when there is none, or when code, settings or features changed since"""
    folder, remedy = dataset.folder / FOLDER / version, f"run `fusionrec train --data {dataset.folder.name}`"
    if not is_kept(dataset, version):
        raise DataError(f"nothing is kept from which bundle {version} could be updated; {remedy}", pointer=str(folder))
    try:
        told = json.loads((folder / _STATE).read_bytes())
        was, modules, data_hash = Conditions(**told["conditions"]), dict(told["modules"]), str(told["data_hash"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"is damaged ({error}); {remedy}", pointer=str(folder / _STATE)) from None
    changed = was.changed(Conditions.of(dataset, modules))
    if changed:
        raise DataError(f"the {' and the '.join(changed)} changed since bundle {version} was trained; {remedy}")
    try:
        fitted = torch.load(folder / _MODEL, weights_only=False)  # our own files: written above, never fetched
        counts = torch.load(folder / _COUNTS, weights_only=False) if (folder / _COUNTS).is_file() else None
        precision = np.load(folder / _PRECISION) if (folder / _PRECISION).is_file() else None
    except Exception as error:  # whatever a damaged pickle raises
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"cannot be read ({first}); {remedy}", pointer=str(folder)) from None
    return State(version, data_hash, fitted, precision, counts)


def prune(dataset: Dataset, keep: Iterable[str]) -> None:
    """Delete what is kept of other bundles than these, and what an interruption left half written."""
    kept = set(keep)
    for folder in (dataset.folder / FOLDER).glob("*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
