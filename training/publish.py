"""Which bundle is served: a pointer file that is flipped by rename, with the way back kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fusionrec.bundle.loader import RANKER
from fusionrec.bundle.manifest import Manifest, read_manifest, verify
from fusionrec.errors import BundleError, BundleMissingError
from fusionrec.scoring import Scorer
from training.evaluate import BASELINE, FUSION

CURRENT = "current"
PREVIOUS = "previous"
GATE_METRIC = "ndcg@10"


class GateError(BundleError):
    """A bundle that is not better than what it must beat."""


@dataclass(frozen=True, slots=True)
class Published:
    """One bundle of the folder."""

    manifest: Manifest
    current: bool
    previous: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder whose manifest cannot be read, or was written for other code, and why."""

    version: str
    flaw: str


def pointer(bundles: Path, name: str = CURRENT) -> str:
    """The version that a pointer names, or ''."""
    path = bundles / name
    return path.read_text().strip() if path.is_file() else ""


def published(bundles: Path) -> tuple[list[Published], list[Unreadable]]:
    """All bundles, oldest first, and what cannot be read. Raises BundleMissingError when the folder holds neither."""
    folders = sorted(path.parent for path in bundles.glob("*/manifest.json") if not path.parent.name.startswith("."))
    if not folders:
        data = bundles.parent.name
        raise BundleMissingError(
            f"no bundle in {bundles}; run `fusionrec train --data {data}` first, or name another data set with --data"
        )
    current, previous = pointer(bundles), pointer(bundles, PREVIOUS)
    found, broken = [], []
    for path in folders:
        try:
            found.append(Published(read_manifest(path), path.name == current, path.name == previous))
        except BundleError as error:
            broken.append(Unreadable(path.name, str(error)))
    return found, broken


def newest(bundles: Path) -> str:
    """The version of the newest bundle that can be read. Raises BundleError when there is none."""
    found, broken = published(bundles)
    if not found:
        raise BundleError(f"no bundle of {bundles} can be read; the newest: {broken[-1].flaw}")
    return found[-1].manifest.model_version


def check(bundles: Path, version: str) -> Manifest:
    """Verify a bundle against its hashes and this code's feature spec, and load its graph. Raises BundleError."""
    folder = bundles / version
    manifest = read_manifest(folder)
    verify(folder, manifest)
    Scorer.open(folder / RANKER, manifest)
    return manifest


def gate(manifest: Manifest) -> None:
    """Raises GateError unless the fusion's NDCG@10 on the test window beats that of the most popular items."""
    try:
        fusion, baseline = (manifest.metrics[name][GATE_METRIC] for name in (FUSION, BASELINE))
    except KeyError as error:
        raise GateError(
            f"bundle {manifest.model_version} was not evaluated (no {error} in its metrics); train it again"
        ) from None
    if not fusion > baseline:
        raise GateError(
            f"bundle {manifest.model_version}: the fusion's {GATE_METRIC} {fusion:.4f} is not better than "
            f"{baseline:.4f} of the most popular items; it is not promoted: train on more data"
        )


def promote(bundles: Path, version: str) -> str:
    """Point to this version after checking it. Returns the version that was served before, '' if none."""
    gate(check(bundles, version))
    before = pointer(bundles)
    if before != version:
        if before:
            _write_pointer(bundles, PREVIOUS, before)
        _write_pointer(bundles, CURRENT, version)
    return before


def rollback(bundles: Path) -> str:
    """Point back to the version before; a second rollback returns. Raises BundleError when there is no way back."""
    current, previous = pointer(bundles), pointer(bundles, PREVIOUS)
    if not current:
        published(bundles)  # says so when there is no bundle at all
        remedy = f"run `fusionrec models promote --data {bundles.parent.name}` first"
        raise BundleError(f"no bundle of {bundles} was promoted yet; {remedy}")
    if not previous:
        raise BundleError(f"nothing was promoted before {current}; there is no way back")
    check(bundles, previous)
    _write_pointer(bundles, CURRENT, previous)
    _write_pointer(bundles, PREVIOUS, current)
    return previous


def _write_pointer(bundles: Path, name: str, version: str) -> None:
    part = bundles / f".{name}.{os.getpid()}.part"
    part.write_text(f"{version}\n")
    part.replace(bundles / name)
