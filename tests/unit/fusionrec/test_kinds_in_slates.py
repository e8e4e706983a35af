"""Diversity in an answer: by categories, or by attributes where no item of the bundle has a category."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fusionrec.active_model import ActiveModel
from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemorySlates
from fusionrec.bundle.catalogue import write_catalogue
from fusionrec.bundle.manifest import Manifest, hash_files, read_manifest, write_manifest
from fusionrec.contracts.recommendations import RecommendationRequest
from tests.suites.serving import NOW, active_model, recommender

ITEMS = [f"item-{number:02d}" for number in range(1, 11)]


def slate(model: ActiveModel, diversity: float) -> list[str]:
    use_case = recommender(model, MemoryFeatures(FixedClock(NOW)), MemorySlates())
    asked = {"recentItemIds": ["item-01"], "numResults": 10, "diversity": diversity}
    answer = use_case.recommend(RecommendationRequest.model_validate(asked))
    return [item.item_id for item in answer.item_list]


@pytest.fixture(scope="module")
def plain(toy_bundle: Path) -> list[str]:
    """By score alone."""
    return slate(active_model(toy_bundle), 0.0)


def told(toy_bundle: Path, folder: Path, categories: list[str], attributes: list[list[str]]) -> ActiveModel:
    """The toy bundle with these columns."""
    shutil.copytree(toy_bundle, folder)
    write_catalogue(folder.parent / "columns", ITEMS, {"category": categories, "attributes": attributes})
    for path in (folder.parent / "columns").glob("[ca]*.npy"):
        shutil.copy(path, folder / "catalogue" / path.name)
    manifest = read_manifest(folder).model_dump()
    write_manifest(folder, Manifest.model_validate({**manifest, "files": hash_files(folder)}))
    return active_model(folder)


def turns(slate: list[str], of_kind: dict[str, str]) -> list[str]:
    return [of_kind[item] for item in slate]


@pytest.mark.parametrize("by", ["categories", "attributes", "both"])
def test_kinds_take_turns(toy_bundle: Path, plain: list[str], by: str, tmp_path: Path) -> None:
    """The first half by score is of one kind, the other of another; where there are both, attributes tell nothing."""
    of_kind = {item: "first" if place < 5 else "last" for place, item in enumerate(plain)}
    kinds = [of_kind[item] for item in ITEMS]
    halves = [[f"k={kind}"] for kind in kinds]
    misleading = [[f"k={plain.index(item) % 2}"] for item in ITEMS]
    told_by = {
        "categories": (kinds, [[] for _ in ITEMS]),
        "attributes": ([""] * 10, halves),
        "both": (kinds, misleading),
    }
    model = told(toy_bundle, tmp_path / "toy", *told_by[by])
    assert slate(model, 0.0) == plain
    assert turns(slate(model, 1.0), of_kind) == ["first", "last"] * 5
    assert np.all(np.diff([plain.index(item) for item in slate(model, 1.0)][::2]) > 0)
