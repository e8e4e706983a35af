"""Opens a bundle: verified first, then memory-mapped. A bundle that does not fit is refused, saying what differs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.bundle.content import Content
from fusionrec.bundle.manifest import Manifest, read_manifest, verify
from fusionrec.contracts.items import Kind
from fusionrec.errors import BundleMismatchError, BundleTamperedError

RANKER: Final = "ranker.onnx"
KINDS: Final[tuple[Kind, ...]] = ("similar", "complement")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Nearest first. items: int32 (n_items + 1, N), 0 = none; scores: float32 of the same shape."""

    items: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything about one model version but the running graph, which `fusionrec/scoring.py` opens from `ranker`."""

    manifest: Manifest
    catalogue: Catalogue
    neighbours: dict[Kind, Neighbours]
    popularity: npt.NDArray[np.float32]  # (n_items + 1,)
    ranker: Path
    content: Content | None = None  # None: a bundle of before items could be added to it

    @property
    def n_items(self) -> int:
        return self.manifest.n_items


def load_bundle(folder: Path) -> Bundle:
    """Raises BundleMissingError, BundleTamperedError, BundleMismatchError."""
    manifest = read_manifest(folder)
    verify(folder, manifest)
    catalogue = Catalogue.load(folder / "catalogue")
    rows = manifest.n_items + 1
    if catalogue.n_items != manifest.n_items:
        raise BundleMismatchError(
            f"bundle {manifest.model_version} has a catalogue of {catalogue.n_items} items and a model of "
            f"{manifest.n_items}; export it again"
        )
    if catalogue.vocabulary_hash != manifest.vocabulary_hash:
        raise BundleMismatchError(
            f"bundle {manifest.model_version} has the vocabulary {catalogue.vocabulary_hash}, its model was trained on "
            f"{manifest.vocabulary_hash}; export it again"
        )
    neighbours = {
        kind: Neighbours(
            _array(folder / "neighbours" / f"{kind}_items.npy", rows),
            _array(folder / "neighbours" / f"{kind}_scores.npy", rows),
        )
        for kind in KINDS
    }
    content = Content.load(folder / "content", manifest.n_items) if (folder / "content").is_dir() else None
    return Bundle(manifest, catalogue, neighbours, _array(folder / "popularity.npy", rows), folder / RANKER, content)


def _array(path: Path, rows: int) -> npt.NDArray[Any]:
    try:
        array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise BundleTamperedError(f"{path.name} cannot be read ({error}); fetch the bundle again") from None
    if len(array) != rows:
        raise BundleMismatchError(f"{path.name} has {len(array)} rows, the catalogue needs {rows}; export it again")
    return array
