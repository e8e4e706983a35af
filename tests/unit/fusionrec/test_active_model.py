from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fusionrec.active_model import ActiveModel
from fusionrec.adapters.local_files import FolderBundles
from fusionrec.adapters.memory import MemoryBundles
from fusionrec.bundle.manifest import Manifest, hash_files, read_manifest, write_manifest
from fusionrec.errors import BundleMissingError, BundleTamperedError


@pytest.fixture
def bundles(toy_bundle: Path, tmp_path: Path) -> MemoryBundles:
    """Two versions of one model; the first is promoted."""
    folders = {}
    for name in ("v1", "v2"):
        folders[name] = shutil.copytree(toy_bundle, tmp_path / name)
        manifest = read_manifest(folders[name])
        write_manifest(folders[name], manifest.model_copy(update={"model_version": name}))
    return MemoryBundles(folders, "v1")


def version(models: ActiveModel) -> str:
    return models.current().bundle.manifest.model_version


def test_a_promotion_is_noticed_and_a_rollback_too(bundles: MemoryBundles) -> None:
    models = ActiveModel(bundles, check_every_s=0)
    first = models.current()
    assert models.current() is first  # nothing was promoted: nothing is loaded again
    bundles.current = "v2"
    assert version(models) == "v2"
    assert first.bundle.catalogue.item_id(1) == "item-01"  # a request that still holds it can finish
    bundles.current = "v1"
    assert version(models) == "v1"


def test_between_two_checks_nobody_asks(bundles: MemoryBundles) -> None:
    models = ActiveModel(bundles, check_every_s=3600)
    assert version(models) == "v1"
    bundles.current = "v2"
    assert version(models) == "v1"


def test_a_tampered_promotion_keeps_the_old_model(bundles: MemoryBundles) -> None:
    models = ActiveModel(bundles, check_every_s=0)
    models.current()
    (bundles.folders["v2"] / "popularity.npy").write_bytes(b"x")
    bundles.current = "v2"
    assert version(models) == "v1"
    bundles.current = "gone"
    assert version(models) == "v1"


class CountingBundles(MemoryBundles):
    """Also counts how often files were asked for."""

    n_fetches = 0

    def fetch(self, version: str | None = None) -> Path:
        self.n_fetches += 1
        return super().fetch(version)


def test_a_refused_promotion_is_looked_at_once_and_a_missing_one_again(bundles: MemoryBundles) -> None:
    store = CountingBundles(bundles.folders, "v1")
    models = ActiveModel(store, check_every_s=0)
    models.current()
    whole = (store.folders["v2"] / "popularity.npy").read_bytes()
    (store.folders["v2"] / "popularity.npy").write_bytes(b"x")
    store.current, store.n_fetches = "v2", 0
    assert [version(models) for _ in range(3)] == ["v1"] * 3
    assert store.n_fetches == 1
    (store.folders["v2"] / "popularity.npy").write_bytes(whole)
    store.current = "gone"
    assert [version(models) for _ in range(3)] == ["v1"] * 3
    assert store.n_fetches == 4  # it may still be on its way
    store.current = "v2"
    assert version(models) == "v2"  # the pointer has moved meanwhile: looked at again


def test_a_refused_graph_is_opened_once(bundles: MemoryBundles) -> None:
    store = CountingBundles(bundles.folders, "v1")
    models = ActiveModel(store, check_every_s=0)
    models.current()
    folder = store.folders["v2"]
    (folder / "ranker.onnx").write_bytes(b"x")
    fields = read_manifest(folder).model_dump()
    write_manifest(folder, Manifest.model_validate({**fields, "files": hash_files(folder)}))
    store.current, store.n_fetches = "v2", 0
    assert [version(models) for _ in range(3)] == ["v1"] * 3
    assert store.n_fetches == 1


def test_without_any_model_the_error_is_raised_until_there_is_one(bundles: MemoryBundles) -> None:
    bundles.current = ""
    models = ActiveModel(bundles)
    for _ in range(2):
        with pytest.raises(BundleMissingError):
            models.current()
    bundles.current = "v1"
    assert version(models) == "v1"


def test_a_tampered_first_model_is_not_served(bundles: MemoryBundles) -> None:
    (bundles.folders["v1"] / "ranker.onnx").write_bytes(b"x")
    with pytest.raises(BundleTamperedError):
        ActiveModel(bundles).current()


def test_a_first_model_whose_graph_does_not_load_is_served_without_it(bundles: MemoryBundles) -> None:
    folder = bundles.folders["v1"]
    (folder / "ranker.onnx").write_bytes(b"x")
    fields = read_manifest(folder).model_dump()
    write_manifest(folder, Manifest.model_validate({**fields, "files": hash_files(folder)}))
    model = ActiveModel(bundles).current()
    assert model.scorer is None
    assert model.bundle.n_items == 10


@pytest.mark.parametrize("pointer", ["", ".", "..", "../elsewhere", "v9"])
def test_a_bad_pointer_is_a_missing_bundle(tmp_path: Path, pointer: str) -> None:
    (tmp_path / "current").write_text(pointer)
    with pytest.raises(BundleMissingError):
        FolderBundles(tmp_path).fetch()
    with pytest.raises(BundleMissingError):
        FolderBundles(tmp_path / "nowhere").promoted()


def test_a_function_that_ranks_nothing_opens_no_graph(bundles: MemoryBundles) -> None:
    model = ActiveModel(bundles, with_graph=False).current()
    assert model.scorer is None
    assert model.bundle.catalogue.index("item-01") == 1
