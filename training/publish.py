"""Which bundle is served: a pointer file that is flipped by rename, with the way back kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fusionrec.bundle.loader import RANKER
from fusionrec.bundle.manifest import FILE_NAME, Manifest, read_manifest, verify
from fusionrec.errors import BundleError, BundleMissingError

CURRENT = "current"
PREVIOUS = "previous"
GATE_METRIC = "ndcg@10"
FUSION, BASELINE = (
    "fusion",
    "most_popular",
)  # as in `evaluate.py`, which would bring torch: a list of bundles needs none
_NOT_HERE: Final = ("fetch", "export")  # how remedies begin that are meant for a server, which has its bundle from us


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
            with remedied(path):
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
    from fusionrec.scoring import Scorer  # noqa: PLC0415  with onnxruntime, which a list does without

    manifest = verified(bundles, version)
    with remedied(bundles / version):
        Scorer.open(bundles / version / RANKER, manifest)
    return manifest


def verified(bundles: Path, version: str) -> Manifest:
    """As `check`, without its graph."""
    with remedied(bundles / version):
        manifest = read_manifest(bundles / version)
        verify(bundles / version, manifest)
    return manifest


@contextmanager
def remedied(folder: Path) -> Iterator[None]:
    """A bundle of this machine cannot be fetched from anywhere: its errors say how to get another one instead."""
    try:
        yield
    except BundleError as error:
        flaw, _, remedy = str(error).rpartition("; ")
        if not remedy.startswith(_NOT_HERE):
            raise
        raise type(error)(f"{flaw}; {_remedy(folder)}") from None


def _remedy(folder: Path) -> str:
    bundles, data = folder.parent, folder.parent.parent.name
    told = f"delete {folder} and run `fusionrec train --data {data}`"
    previous = pointer(bundles, PREVIOUS)
    if folder.name == pointer(bundles) and is_there(bundles, previous):
        told += f"; until then `fusionrec models rollback --data {data}` serves {previous}"
    return told


def is_there(bundles: Path, version: str) -> bool:
    """Is it the name of a bundle in this folder, whole or not?"""
    return bool(version) and Path(version).name == version and (bundles / version / FILE_NAME).is_file()


def astray(bundles: Path) -> str:
    """What is wrong when a bundle is promoted that is not there, with the remedy; else ''."""
    current, previous, data = pointer(bundles), pointer(bundles, PREVIOUS), bundles.parent.name
    if not (bundles / CURRENT).is_file() or is_there(bundles, current):
        return ""
    told = f"{bundles / CURRENT} names {current!r}, and no such bundle is there, so nothing is served; "
    if not any(bundles.glob(f"*/{FILE_NAME}")):
        return f"{told}nor is any other; run `fusionrec train --data {data}`"
    told += f"`fusionrec models promote --data {data}` serves the newest"
    if current and is_there(bundles, previous):
        told += f", `fusionrec models rollback --data {data}` {previous}"
    return told


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
        _keep_way_back(bundles, before, version)
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
    _write_pointer(bundles, CURRENT, previous)  # first: whoever is cut off between the two is back at least
    _keep_way_back(bundles, current, previous)
    return previous


def _keep_way_back(bundles: Path, before: str, version: str) -> None:
    """When `version` is served in place of `before`: that one can be gone, and then no way leads to it."""
    if is_there(bundles, before):
        _write_pointer(bundles, PREVIOUS, before)
    elif pointer(bundles, PREVIOUS) == version:
        (bundles / PREVIOUS).unlink()


def _write_pointer(bundles: Path, name: str, version: str) -> None:
    part = bundles / f".{name}.{os.getpid()}.part"
    part.write_text(f"{version}\n")
    part.replace(bundles / name)
