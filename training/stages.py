"""Named results of long work, kept under the hash of all that they depend on: a run continues where it broke."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

import training
from training.models.protocol import QUIET, Run

T = TypeVar("T")
Report = Callable[[str, float], None]  # (what, share done)

_CODE = (
    "content.py",
    "interactions.py",
    "loop.py",
    "protocols.py",
    "models",
    "fusion",
)  # a change here makes old results stale
MEASURES = (
    "association.py",
    "background.py",
    "beyond_accuracy.py",
    "evaluate.py",
    "metrics.py",
    "segments.py",
)  # a change here makes old measurements stale


def code_hash(names: Sequence[str] = _CODE) -> str:
    """Fingerprint of the source that decides what is learnt, or of other modules and packages."""
    root = Path(training.__file__).parent
    files = [path for name in names for path in ([root / name] if name.endswith(".py") else (root / name).glob("*.py"))]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def key_of(*facts: Any) -> str:
    """12 hex digits of what a result depends on."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


class Stages:
    """Runs each piece of work once. `report` hears what is being done, `run` has the device and records curves."""

    def __init__(self, folder: Path, report: Report, run: Run = QUIET) -> None:
        self.folder, self.report, self.run = folder, report, run

    def once(self, name: str, key: str, work: Callable[[Run], T]) -> T:
        """The kept result of this name and key, or a new one, kept by rename when it is whole."""
        path = self.folder / f"{name}-{key}.pt"
        if path.exists():
            self.report(f"{name} (kept)", 1.0)
            kept: T = torch.load(path, weights_only=False)  # our own file: written below, never fetched
            return kept
        self.report(name, 0.0)
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = path.with_suffix(".checkpoint")
        result = work(
            replace(
                self.run,
                progress=lambda share: self.report(name, min(share, 0.99)),
                checkpoint=checkpoint,
                record=lambda curve, value, step: self.run.record(f"{name}/{curve}", value, step),
            )
        )
        scratch = path.with_suffix(f".{os.getpid()}.part")
        torch.save(result, scratch)
        scratch.replace(path)
        checkpoint.unlink(missing_ok=True)
        self.report(name, 1.0)
        return result
