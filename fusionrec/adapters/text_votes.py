"""Votes of texts: a DynamoDB table in the cloud, a SQLite file locally. No Feast view: no model reads them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import StoreUnavailableError

STORE: Final = "text_votes"
KEPT_S: Final = 110 * 86_400  # after the last text; longer than the window of fusionrec/surge.py


class DynamoClient(Protocol):
    def get_item(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def put_item(self, **kwargs: Any) -> Mapping[str, Any]: ...


class DynamoVotes:
    """Table `<prefix>.text_votes`; the digest of the row that was read is the condition of the write."""

    def __init__(self, client: DynamoClient, table_prefix: str) -> None:
        self._client, self._table = client, f"{table_prefix}.{STORE}"

    def read(self, key: str) -> bytes:
        try:
            answer = self._client.get_item(TableName=self._table, Key={"entity_id": {"S": key}}, ConsistentRead=True)
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError(STORE, type(error).__name__) from error
        return bytes(answer.get("Item", {}).get("votes", {}).get("B", b""))

    def write(self, key: str, row: bytes, replacing: bytes) -> bool:
        expires_at = int(datetime.now(UTC).timestamp()) + KEPT_S
        item = {
            "entity_id": {"S": key},
            "votes": {"B": row},
            "digest": {"S": _digest(row)},
            "expires_at": {"N": str(expires_at)},
        }
        condition = "digest = :held" if replacing else "attribute_not_exists(entity_id)"
        values = {"ExpressionAttributeValues": {":held": {"S": _digest(replacing)}}} if replacing else {}
        try:
            self._client.put_item(TableName=self._table, Item=item, ConditionExpression=condition, **values)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise StoreUnavailableError(STORE, error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise StoreUnavailableError(STORE, type(error).__name__) from error
        return True


class SqliteVotes:
    """One small file; opened for each call, so that several processes may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, key: str) -> bytes:
        rows, _ = self._run("select votes from text_votes where key = ?", key)
        return bytes(rows[0][0]) if rows else b""

    def write(self, key: str, row: bytes, replacing: bytes) -> bool:
        if replacing:
            _, n_changed = self._run("update text_votes set votes = ? where key = ? and votes = ?", row, key, replacing)
        else:
            _, n_changed = self._run("insert or ignore into text_votes values (?, ?)", key, row)
        return n_changed == 1

    def _run(self, statement: str, *values: str | bytes) -> tuple[list[Any], int]:
        """Rows, and how many were changed."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=5.0)) as connection, connection:
                connection.execute("create table if not exists text_votes (key text primary key, votes blob)")
                cursor = connection.execute(statement, values)
                return cursor.fetchall(), cursor.rowcount
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(STORE, f"{type(error).__name__}: {error}") from error


def _digest(row: bytes) -> str:
    return hashlib.sha256(row).hexdigest()
