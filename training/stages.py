"""Named results of long work, kept under the hash of all that they depend on: a run continues where it broke."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

import training
from training.models.protocol import QUIET, Run

T = TypeVar("T")
Report = Callable[[str, float], None]  # (what, share done)


def unheard(_what: str, _share: float) -> None:
    """A report that nobody hears."""


_IMPORT = re.compile(r"^from ((?:training|fusionrec)(?:\.\w+)*) import ([^\n]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stage took. After an interruption: since its last start."""

    seconds: float
    cpu_seconds: float
    peak_mib: float  # of the process, memory that was held before included; 0 where the system does not tell


def code_hash(modules: Sequence[str]) -> str:
    """Fingerprint of modules, by their dotted names, and of all others of ours that they import."""
    root = Path(training.__file__).parent.parent
    waiting, known = list(modules), set[str]()
    digest = hashlib.sha256()
    while waiting:
        name = waiting.pop()
        path = (root / name.replace(".", "/")).with_suffix(".py")
        if name not in known and path.exists():
            for package, names in _IMPORT.findall(path.read_text()):  # a name may be a module of the package
                waiting += [package, *(f"{package}.{name.strip()}" for name in names.split(","))]
        known.add(name)
    for name in sorted(known):
        path = (root / name.replace(".", "/")).with_suffix(".py")
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def key_of(*facts: Any) -> str:
    """12 hex digits of what a result depends on."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


class Stages:
    """Runs each piece of work once. `report` hears what is being done, `run` has the device and records curves."""

    def __init__(self, folder: Path, report: Report, run: Run = QUIET) -> None:
        self.folder, self.report, self.run = folder, report, run
        self.costs: dict[str, Cost] = {}  # of every stage asked for, kept ones as they were when they ran

    def once(self, name: str, key: str, work: Callable[[Run], T]) -> T:
        """The kept result of this name and key, or a new one, kept by rename when it is whole."""
        path = self.folder / f"{name}-{key}.pt"
        if path.exists():
            self.report(f"{name} (kept)", 1.0)
            kept: T
            kept, self.costs[name] = torch.load(path, weights_only=False)  # our own file: written below, never fetched
            return kept
        self.report(name, 0.0)
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = path.with_suffix(".checkpoint")
        meter = _Meter()
        result = work(
            replace(
                self.run,
                progress=lambda share: self.report(name, min(share, 0.99)),
                checkpoint=checkpoint,
                record=lambda curve, value, step: self.run.record(f"{name}/{curve}", value, step),
            )
        )
        scratch = path.with_suffix(f".{os.getpid()}.part")
        self.costs[name] = meter.read()
        torch.save((result, self.costs[name]), scratch)
        scratch.replace(path)
        checkpoint.unlink(missing_ok=True)
        self.report(name, 1.0)
        return result


class _Meter:
    """Time from now on, and the most memory that the process held."""

    def __init__(self) -> None:
        with suppress(OSError):  # Linux alone can begin anew; elsewhere the peak is that of the whole run
            Path("/proc/self/clear_refs").write_text("5")
        self.seconds, self.cpu_seconds = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        seconds, cpu_seconds = time.perf_counter() - self.seconds, time.process_time() - self.cpu_seconds
        peak = 0.0
        with suppress(OSError, StopIteration):
            lines = Path("/proc/self/status").read_text().splitlines()
            peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
        return Cost(seconds, cpu_seconds, peak)
