"""Files that were dropped into a bucket, and the reports on them: `drops/…` and `rejected/….csv`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import DataError, StoreUnavailableError

MAX_BYTES: Final = 50_000_000  # what the function reads within its time


class S3Client(Protocol):
    def get_object(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def put_object(self, **kwargs: Any) -> Mapping[str, Any]: ...


class S3Drops:
    """Reads line by line; the file is never in memory as a whole."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def lines(self, bucket: str, key: str) -> Iterator[str]:
        """Raises DataError for a file that is too long, gone or no UTF-8, StoreUnavailableError."""
        place = f"s3://{bucket}/{key}"
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("NoSuchKey", "404", "AccessDenied"):
                raise DataError("is not there, or may not be read; only drops/ may", pointer=place) from None
            raise StoreUnavailableError("drops", code) from error
        except BotoCoreError as error:
            raise StoreUnavailableError("drops", type(error).__name__) from error
        if answer["ContentLength"] > MAX_BYTES:
            raise DataError(f"has more than {MAX_BYTES} bytes; split it", pointer=place)
        for number, line in enumerate(answer["Body"].iter_lines(), start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8") + "\n"
            except UnicodeDecodeError:
                raise DataError(f"line {number} is no UTF-8", pointer=place) from None

    def report(self, bucket: str, key: str, lines: Iterable[str]) -> str:
        """Write the report; returns its key."""
        name = f"rejected/{key.removeprefix('drops/')}.csv"
        try:
            self._client.put_object(Bucket=bucket, Key=name, Body="".join(lines).encode())
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError("drops", type(error).__name__) from error
        return name
