"""Model bundles on S3: `<prefix>/<version>/…`, and the promoted version in the object `<prefix>/current`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.bundle.manifest import FILE_NAME, read_manifest
from fusionrec.errors import BundleMissingError, BundleTamperedError, StoreUnavailableError
from fusionrec.ports import BundleStore

PARALLEL: Final = 16


class S3Client(Protocol):
    def get_object(self, **kwargs: Any) -> Mapping[str, Any]: ...


class S3Bundles(BundleStore):
    """Fetches into `cache` (`/tmp` in a function); a version appears there only when it is whole."""

    def __init__(self, client: S3Client, uri: str, cache: Path, pointer_client: S3Client | None = None) -> None:
        """uri: s3://bucket/prefix; pointer_client: asks for the promoted version within a request; gives up sooner"""
        parts = urlsplit(uri)
        self._client, self._pointer_client, self._cache = client, pointer_client or client, cache
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")

    def promoted(self) -> str:
        return self._pointed_to(self._pointer_client)

    def _pointed_to(self, client: S3Client) -> str:
        version = self._get("current", client).decode(errors="replace").strip()
        if version in ("", ".", "..") or PurePosixPath(version).name != version:
            raise BundleMissingError("the pointer names no version; promote a bundle again")
        return version

    def fetch(self, version: str | None = None) -> Path:
        name = version or self._pointed_to(self._client)
        folder = self._cache / name
        if folder.is_dir():
            return folder
        self._cache.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=self._cache))
        try:
            self._download(name, work)
            work.rename(folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        for other in self._cache.iterdir():  # open mappings of an older version outlive their files
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
        return folder

    def discard(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def _download(self, version: str, work: Path) -> None:
        (work / FILE_NAME).write_bytes(self._get(f"{version}/{FILE_NAME}", self._client))
        manifest = read_manifest(work)

        def copy(name: str) -> None:
            path = work / name
            if not path.resolve().is_relative_to(work.resolve()):
                raise BundleTamperedError(f"the manifest names a file outside the bundle: {name!r}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._get(f"{version}/{name}", self._client))

        with ThreadPoolExecutor(PARALLEL) as threads:
            list(threads.map(copy, manifest.files))

    def _get(self, name: str, client: S3Client) -> bytes:
        key = f"{self._prefix}/{name}".lstrip("/")
        return read_object(client, self._bucket, key, "bundles", "publish a bundle first")


def read_object(client: S3Client, bucket: str, key: str, store: str, remedy: str) -> bytes:
    """The whole object. store: its name in an error

    raises: BundleMissingError with the remedy, StoreUnavailableError
    """
    try:
        body: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "404", "AccessDenied"):
            raise BundleMissingError(f"s3://{bucket}/{key} is not there; {remedy}") from None
        raise StoreUnavailableError(store, error.response["Error"]["Code"]) from error
    except BotoCoreError as error:
        raise StoreUnavailableError(store, type(error).__name__) from error
    return body
