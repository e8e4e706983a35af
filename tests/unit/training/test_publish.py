"""Promotion: verified, gated, one step back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fusionrec.bundle.manifest import FILE_NAME, hash_files
from fusionrec.errors import BundleError, BundleMismatchError, BundleMissingError, BundleTamperedError
from training import publish
from training.publish import GateError, newest, pointer, promote, published, rollback


@pytest.fixture
def bundles(toy_bundle: Path, tmp_path: Path) -> Path:
    """Two versions, v1 and v2."""
    for version in ("v1", "v2"):
        shutil.copytree(toy_bundle, tmp_path / version)
        edit(tmp_path / version, model_version=version)
    return tmp_path


def edit(folder: Path, **fields: object) -> None:
    path = folder / FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_promote_and_roll_back(bundles: Path) -> None:
    assert promote(bundles, "v1") == ""
    assert promote(bundles, "v2") == "v1"
    assert pointer(bundles) == "v2"
    assert [(each.manifest.model_version, each.current, each.previous) for each in published(bundles)[0]] == [
        ("v1", False, True),
        ("v2", True, False),
    ]
    assert rollback(bundles) == "v1"
    assert pointer(bundles) == "v1"
    assert rollback(bundles) == "v2"


def test_a_broken_manifest_is_named_beside_the_bundles_that_can_be_read(bundles: Path) -> None:
    (bundles / "v2" / FILE_NAME).write_text("{")
    found, broken = published(bundles)
    assert [each.manifest.model_version for each in found] == ["v1"]
    assert [each.version for each in broken] == ["v2"]
    assert "is not JSON" in broken[0].flaw
    assert newest(bundles) == "v1"
    (bundles / "v1" / FILE_NAME).write_text("[]")
    with pytest.raises(BundleError, match=r"no bundle of .* can be read; the newest: .*v2.*is not JSON"):
        newest(bundles)


def test_promoting_twice_keeps_the_way_back(bundles: Path) -> None:
    promote(bundles, "v1")
    promote(bundles, "v2")
    promote(bundles, "v2")
    assert rollback(bundles) == "v1"


def test_a_rollback_that_is_cut_off_has_rolled_back(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    promote(bundles, "v1")
    promote(bundles, "v2")
    monkeypatch.setattr(publish, "_keep_way_back", cut_off)
    with pytest.raises(KeyboardInterrupt):
        rollback(bundles)
    assert pointer(bundles) == "v1"


def test_no_way_back_without_a_previous_one(bundles: Path) -> None:
    promote(bundles, "v1")
    with pytest.raises(BundleError, match="no way back"):
        rollback(bundles)


@pytest.mark.parametrize(
    "metrics",
    [{}, {"fusion": {"ndcg@10": 0.2}}, {"fusion": {"ndcg@10": 0.2}, "most_popular": {"ndcg@10": 0.2}}],
)
def test_the_gate_refuses_what_is_not_better_than_popularity(bundles: Path, metrics: dict) -> None:
    promote(bundles, "v1")
    edit(bundles / "v2", metrics=metrics)
    with pytest.raises(GateError, match="v2"):
        promote(bundles, "v2")
    assert pointer(bundles) == "v1"


def test_a_damaged_bundle_is_not_promoted(bundles: Path) -> None:
    promote(bundles, "v1")
    with (bundles / "v2" / "popularity.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleTamperedError, match=r"popularity\.npy"):
        promote(bundles, "v2")
    assert pointer(bundles) == "v1"


def test_a_graph_that_does_not_load_is_not_promoted(bundles: Path) -> None:
    """The hashes fit, since they were taken of the broken file."""
    promote(bundles, "v1")
    (bundles / "v2" / "ranker.onnx").write_bytes(b"no graph")
    edit(bundles / "v2", files=hash_files(bundles / "v2"))
    with pytest.raises(BundleMismatchError, match=r"ranker\.onnx cannot be loaded"):
        promote(bundles, "v2")
    assert pointer(bundles) == "v1"


def test_there_is_no_way_back_to_what_was_never_there(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    remedy = f"run `fusionrec models promote --data {bundles.parent.name}` first"
    with pytest.raises(BundleError, match=f"no bundle .* was promoted yet; {remedy}"):
        rollback(bundles)
    with pytest.raises(BundleMissingError, match="no bundle in"):
        rollback(tmp_path_factory.mktemp("shop") / "bundles")


def test_an_unknown_version_is_missing(bundles: Path) -> None:
    with pytest.raises(BundleMissingError):
        promote(bundles, "v9")


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleMissingError, match=r"run `fusionrec train --data shop` first, .* with --data"):
        published(tmp_path / "shop" / "bundles")
