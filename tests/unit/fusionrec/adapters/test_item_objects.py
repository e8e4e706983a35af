from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto import mock_aws

from fusionrec.adapters.item_objects import FolderObjects, S3Objects
from fusionrec.adapters.memory import MemoryObjects
from tests.suites.item_objects import ItemObjectsSuite


class TestMemory(ItemObjectsSuite):
    @pytest.fixture
    def objects(self) -> MemoryObjects:
        return MemoryObjects()

    @pytest.fixture
    def unreachable(self) -> MemoryObjects:
        return MemoryObjects(unreachable=True)


class TestFolder(ItemObjectsSuite):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> FolderObjects:
        return FolderObjects(tmp_path / "items")

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> FolderObjects:
        (tmp_path / "a file").write_text("")
        return FolderObjects(tmp_path / "a file" / "items")

    def test_nothing_half_written_is_left(self, objects: FolderObjects, tmp_path: Path) -> None:
        objects.create("a.json", b"1")
        objects.create("a.json", b"2")
        objects.replace("snapshot.json", b"3")
        assert sorted(path.name for path in (tmp_path / "items").iterdir()) == ["a.json", "snapshot.json"]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = botocore.session.get_session().create_client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="shop")
        yield client


class TestS3(ItemObjectsSuite):
    @pytest.fixture
    def objects(self, s3: Any) -> S3Objects:
        return S3Objects(s3, "s3://shop/items/", lambda: s3)

    @pytest.fixture
    def unreachable(self, s3: Any) -> S3Objects:
        return S3Objects(s3, "s3://nobodys-bucket/items")

    def test_objects_lie_below_the_prefix(self, objects: S3Objects, s3: Any) -> None:
        objects.create("a.json", b"1")
        assert [row["Key"] for row in s3.list_objects_v2(Bucket="shop")["Contents"]] == ["items/a.json"]
