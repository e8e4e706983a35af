"""Bundles on S3 (moto, in this process): fetched whole, verified once, never served when a byte differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ReadTimeoutError

from fusionrec.active_model import ActiveModel
from fusionrec.adapters.s3 import S3Bundles
from fusionrec.bundle import manifest
from fusionrec.bundle.loader import load_bundle
from fusionrec.errors import BundleMissingError, BundleTamperedError, StoreUnavailableError

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def bucket(toy_bundle: Path) -> Any:
    s3 = botocore.session.get_session().create_client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for path in toy_bundle.rglob("*"):
        if path.is_file():
            s3.put_object(Bucket="models", Key=f"b/toy/{path.relative_to(toy_bundle)}", Body=path.read_bytes())
    s3.put_object(Bucket="models", Key="b/current", Body=b"toy\n")
    return s3


def test_a_bundle_is_fetched_once_and_is_whole(bucket: Any, tmp_path: Path) -> None:
    store = S3Bundles(bucket, "s3://models/b", tmp_path / "cache")
    (tmp_path / "cache" / "older").mkdir(parents=True)
    folder = store.fetch()
    assert store.promoted() == "toy"
    assert load_bundle(folder).n_items == 10
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["toy"]
    bucket.delete_object(Bucket="models", Key="b/toy/popularity.npy")
    assert store.fetch() == folder


def served(bucket: Any, cache: Path) -> ActiveModel:
    return ActiveModel(S3Bundles(bucket, "s3://models/b", cache), with_graph=False)


def test_a_cold_start_hashes_every_file_once(bucket: Any, tmp_path: Path, toy_bundle: Path, monkeypatch: Any) -> None:
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of(path)

    sha256_of = manifest.sha256_of
    monkeypatch.setattr(manifest, "sha256_of", counted)
    served(bucket, tmp_path / "cache").current()
    files = [path.name for path in toy_bundle.rglob("*") if path.is_file() and path.name != manifest.FILE_NAME]
    assert sorted(hashed) == sorted(files)


def test_a_tampered_object_is_not_served_and_leaves_the_cache(bucket: Any, tmp_path: Path) -> None:
    """Of any file, and at every request: the object may have been mended since."""
    for n, name in enumerate(("popularity.npy", "ranker.onnx", "catalogue/item_id.sorted.npy")):
        cache = tmp_path / str(n)
        whole = bucket.get_object(Bucket="models", Key=f"b/toy/{name}")["Body"].read()
        bucket.put_object(Bucket="models", Key=f"b/toy/{name}", Body=whole[:-1] + bytes([whole[-1] ^ 1]))
        models = served(bucket, cache)
        with pytest.raises(BundleTamperedError, match=name):
            models.current()
        assert list(cache.iterdir()) == []
        bucket.put_object(Bucket="models", Key=f"b/toy/{name}", Body=whole)
        assert models.current().bundle.n_items == 10


def test_a_copy_that_was_damaged_since_is_fetched_anew(bucket: Any, tmp_path: Path) -> None:
    served(bucket, tmp_path / "cache").current()
    (tmp_path / "cache" / "toy" / "popularity.npy").write_bytes(b"other")
    models = served(bucket, tmp_path / "cache")  # the next process in the same place
    with pytest.raises(BundleTamperedError, match=r"popularity\.npy"):
        models.current()
    assert models.current().bundle.n_items == 10


def test_a_missing_pointer_or_file_is_a_missing_bundle(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleMissingError):
        S3Bundles(bucket, "s3://models/elsewhere", tmp_path).fetch()
    with pytest.raises(BundleMissingError):
        S3Bundles(bucket, "s3://gone/b", tmp_path).promoted()
    bucket.delete_object(Bucket="models", Key="b/toy/popularity.npy")
    with pytest.raises(BundleMissingError, match=r"popularity\.npy"):
        S3Bundles(bucket, "s3://models/b", tmp_path / "cache").fetch()


@pytest.mark.parametrize("pointer", [b"", b".", b"..", b"a/b", b"\xff/"])
def test_a_pointer_that_is_no_version_is_refused(bucket: Any, tmp_path: Path, pointer: bytes) -> None:
    bucket.put_object(Bucket="models", Key="b/current", Body=pointer)
    with pytest.raises(BundleMissingError, match="names no version"):
        S3Bundles(bucket, "s3://models/b", tmp_path / "cache").fetch()


def test_the_pointer_is_read_by_its_own_client(bucket: Any, tmp_path: Path) -> None:
    class Impatient:
        def get_object(self, **kwargs: Any) -> Any:
            raise ReadTimeoutError(endpoint_url="http://s3")

    store = S3Bundles(bucket, "s3://models/b", tmp_path / "cache", Impatient())
    with pytest.raises(StoreUnavailableError, match="ReadTimeoutError"):
        store.promoted()
    assert store.fetch().name == "toy"  # the first model is worth a longer wait


def test_a_manifest_cannot_write_outside_the_cache(bucket: Any, tmp_path: Path) -> None:
    fields = json.loads(bucket.get_object(Bucket="models", Key="b/toy/manifest.json")["Body"].read())
    fields["files"]["../../evil"] = "0" * 64
    bucket.put_object(Bucket="models", Key="b/toy/manifest.json", Body=json.dumps(fields).encode())
    bucket.put_object(Bucket="models", Key="b/toy/../../evil", Body=b"x")
    with pytest.raises(BundleTamperedError, match="outside the bundle"):
        S3Bundles(bucket, "s3://models/b", tmp_path / "cache").fetch()
    assert not (tmp_path / "evil").exists()
