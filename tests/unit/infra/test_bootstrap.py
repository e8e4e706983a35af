"""Seeding on S3 in process: idempotent, resumable, never half, never over another bundle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto import mock_aws

from fusionrec.bundle.manifest import read_manifest
from fusionrec.errors import BadInputError, BundleError, BundleTamperedError
from infra import bootstrap

URI = "s3://shop/bundles"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = botocore.session.get_session().create_client("s3")
        client.create_bucket(Bucket="shop")
        yield client


def text(s3: Any, key: str) -> str:
    return str(s3.get_object(Bucket="shop", Key=key)["Body"].read().decode())


def test_a_bundle_is_uploaded_whole_and_promoted(s3: Any, toy_bundle: Path) -> None:
    manifest = read_manifest(toy_bundle)

    assert bootstrap.publish(toy_bundle, URI) == len(manifest.files) + 1
    assert text(s3, "bundles/current") == f"{manifest.model_version}\n"
    assert text(s3, f"bundles/{manifest.model_version}/manifest.json") == (toy_bundle / "manifest.json").read_text()


def test_a_second_run_uploads_nothing(s3: Any, toy_bundle: Path) -> None:
    bootstrap.publish(toy_bundle, URI)

    assert bootstrap.publish(toy_bundle, URI) == 0


def test_an_interrupted_upload_continues_and_was_never_visible(
    s3: Any, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_files = len(read_manifest(toy_bundle).files)
    calls = 0
    put = bootstrap._client("s3").put_object

    class Interrupted:
        """An S3 client whose third upload is cut off."""

        exceptions, get_object, head_object = s3.exceptions, s3.get_object, s3.head_object

        def put_object(self, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise KeyboardInterrupt
            return put(**kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "_client", lambda service: Interrupted())
        with pytest.raises(KeyboardInterrupt):
            bootstrap.publish(toy_bundle, URI)
    keys = {row["Key"] for row in s3.list_objects_v2(Bucket="shop")["Contents"]}
    assert not any(key.endswith(("manifest.json", "current")) for key in keys)

    assert bootstrap.publish(toy_bundle, URI) == n_files - 2 + 1


def test_another_bundle_of_the_same_version_is_refused(s3: Any, toy_bundle: Path) -> None:
    bootstrap.publish(toy_bundle, URI)
    key = f"bundles/{read_manifest(toy_bundle).model_version}/manifest.json"
    s3.put_object(Bucket="shop", Key=key, Body=b"{}")

    with pytest.raises(BundleError, match="never overwritten"):
        bootstrap.publish(toy_bundle, URI)


def test_a_tampered_bundle_never_leaves_the_machine(s3: Any, toy_bundle: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(toy_bundle, tmp_path / "broken")
    (broken / "popularity.npy").write_bytes(b"not what it was")

    with pytest.raises(BundleTamperedError, match=r"popularity\.npy"):
        bootstrap.publish(broken, URI)
    assert "Contents" not in s3.list_objects_v2(Bucket="shop")


@pytest.mark.parametrize("uri", ["/tmp/bundles", "https://shop/bundles", "s3://"])
def test_a_place_that_is_not_s3_is_named(s3: Any, toy_bundle: Path, uri: str) -> None:
    with pytest.raises(BadInputError, match="not s3://bucket/prefix"):
        bootstrap.publish(toy_bundle, uri)


def test_a_missing_bucket_is_one_line(s3: Any, toy_bundle: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be written"):
        bootstrap.publish(toy_bundle, "s3://nowhere/bundles")


def test_upload_without_promotion_leaves_the_pointer(s3: Any, toy_bundle: Path) -> None:
    s3.put_object(Bucket="shop", Key="bundles/current", Body=b"earlier\n")
    bootstrap.publish(toy_bundle, URI, promote=False)

    assert text(s3, "bundles/current") == "earlier\n"


def test_an_unknown_stack_is_one_line(s3: Any) -> None:
    with pytest.raises(BadInputError, match="deploy it first"):
        bootstrap.stack_outputs("nowhere")
