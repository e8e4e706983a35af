from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fusionrec.bundle.loader import load_bundle
from fusionrec.bundle.manifest import Manifest, hash_files, read_manifest, write_manifest
from fusionrec.errors import BundleMismatchError, BundleMissingError, BundleTamperedError


@pytest.fixture
def folder(toy_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(toy_bundle, tmp_path / "toy")


def change(folder: Path, **fields: object) -> None:
    """Change the manifest, and hash the files as they now are: what differs is no longer a tampered file."""
    manifest = read_manifest(folder).model_dump()
    write_manifest(folder, Manifest.model_validate({**manifest, "files": hash_files(folder), **fields}))


def test_a_whole_bundle_loads(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.n_items == 10
    assert bundle.catalogue.find(["item-10"]).tolist() == [10]
    assert bundle.neighbours["similar"].items.shape == (11, 50)


@pytest.mark.parametrize("name", ["ranker.onnx", "ranker.onnx.data", "popularity.npy", "catalogue/name.bytes.npy"])
def test_a_changed_byte_is_found_and_the_file_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleTamperedError, match=f"{name}.*differs from its sha256"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["ranker.onnx", "ranker.onnx.data", "popularity.npy"])
def test_a_lost_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleTamperedError, match=f"lacks {re.escape(name)};"):
        load_bundle(folder)


def test_weights_that_were_cut_short_or_are_of_another_version_are_found(folder: Path) -> None:
    path = folder / "ranker.onnx.data"
    whole = path.read_bytes()
    for other in (whole[:-4096], whole[::-1], b""):
        path.write_bytes(other)
        with pytest.raises(BundleTamperedError, match=r"ranker\.onnx\.data.*differs from its sha256"):
            load_bundle(folder)


def test_an_empty_folder_is_told_from_a_damaged_bundle(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleMissingError):
        load_bundle(tmp_path / "nowhere")
    (folder / "manifest.json").write_text('{"schema_version": 1')
    with pytest.raises(BundleTamperedError, match="not JSON"):
        load_bundle(folder)


def test_another_feature_spec_is_refused_saying_what_differs(folder: Path) -> None:
    own = read_manifest(folder).feature_spec_hash
    change(folder, feature_spec_hash="0123456789abcdef")
    with pytest.raises(BundleMismatchError, match=f"0123456789abcdef of fused_ranker_v1, this code has {own}"):
        load_bundle(folder)


def test_an_unknown_feature_service_is_refused_saying_which(folder: Path) -> None:
    change(folder, feature_service="fused_ranker_v9")
    with pytest.raises(BundleMismatchError, match=r"'fused_ranker_v9', this code has fused_ranker_v1"):
        load_bundle(folder)


def test_another_schema_version_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(BundleMismatchError, match="schema_version 99, this code reads 1"):
        load_bundle(folder)


def test_parts_that_do_not_fit_together_are_refused(folder: Path) -> None:
    change(folder, vocabulary_hash="0123456789abcdef")
    with pytest.raises(BundleMismatchError, match="its model was trained on 0123456789abcdef"):
        load_bundle(folder)
    change(folder, n_items=9)
    with pytest.raises(BundleMismatchError, match="catalogue of 10 items and a model of 9"):
        load_bundle(folder)


def test_an_array_of_another_length_is_refused(folder: Path) -> None:
    np.save(folder / "popularity.npy", np.ones(7, np.float32))
    change(folder)
    with pytest.raises(BundleMismatchError, match=r"popularity\.npy has 7 rows, the catalogue needs 11"):
        load_bundle(folder)
