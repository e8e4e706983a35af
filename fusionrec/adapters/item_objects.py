"""Where the item log lies: a folder, or a prefix of a bucket. The names and bodies are the same in both."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import StoreUnavailableError
from fusionrec.item_log import STORE, Objects

_MISSING: Final = ("NoSuchKey", "404")
_TAKEN: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


class FolderObjects(Objects):
    """One file an object. A name is taken by a hard link, which one of several writers gets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _away(error) from error

    def create(self, name: str, body: bytes) -> bool:
        try:
            scratch = self._written(name, body)
            try:
                os.link(scratch, self._folder / name)
            finally:
                scratch.unlink(missing_ok=True)
            _sync(self._folder)
        except FileExistsError:
            return False
        except OSError as error:
            raise _away(error) from error
        return True

    def replace(self, name: str, body: bytes) -> None:
        try:
            self._written(name, body).replace(self._folder / name)
        except OSError as error:
            raise _away(error) from error

    def _written(self, name: str, body: bytes) -> Path:
        """A file of its own with the body, safe on the disk."""
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / f".{name}.{os.getpid()}.{threading.get_ident()}.part"
        with scratch.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        return scratch


def _sync(folder: Path) -> None:
    """The folder's new entry, too, must outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _away(error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(STORE, f"{error.strerror}: {error.filename}")


class S3Client(Protocol):
    def get_object(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def put_object(self, **kwargs: Any) -> Mapping[str, Any]: ...


class S3Objects(Objects):
    """`<prefix>/<name>`; a name is taken by a put that S3 makes only if nothing is there (If-None-Match)."""

    def __init__(self, client: S3Client, uri: str, writing: Callable[[], S3Client] | None = None) -> None:
        """uri: s3://bucket/prefix; client: asked within requests; writing: makes a more patient one, for writers"""
        parts = urlsplit(uri)
        self._client, self._writing = client, writing
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")

    def get(self, name: str) -> bytes | None:
        try:
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise StoreUnavailableError(STORE, error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise StoreUnavailableError(STORE, type(error).__name__) from error
        return body

    def create(self, name: str, body: bytes) -> bool:
        return self._put(name, body, IfNoneMatch="*")

    def replace(self, name: str, body: bytes) -> None:
        self._put(name, body)

    def _put(self, name: str, body: bytes, **condition: str) -> bool:
        if self._writing is not None:
            self._client, self._writing = self._writing(), None  # a function that writes has the time to wait
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=self._key(name), Body=body, ContentType="application/json", **condition
            )
        except ClientError as error:
            if condition and error.response["Error"]["Code"] in _TAKEN:
                return False
            raise StoreUnavailableError(STORE, error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise StoreUnavailableError(STORE, type(error).__name__) from error
        return True

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}".lstrip("/")
