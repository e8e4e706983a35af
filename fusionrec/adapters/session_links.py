"""Which users logged in within a session: a DynamoDB table in the cloud, a SQLite file locally.

No Feast view: a link is no input of a model, and both stores add to a set in one step, without reading it before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import DAY_MS

KEPT_DAYS: Final = 60  # after the newest log-in; a session lives for hours, late events come within days
STORE: Final = "session_links"


class DynamoClient(Protocol):
    def get_item(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def update_item(self, **kwargs: Any) -> Mapping[str, Any]: ...


class DynamoLinks:
    """Table `<prefix>.session_link`; DynamoDB itself removes a link when its `expires_at` (s since 1970) is past."""

    def __init__(self, client: DynamoClient, table_prefix: str) -> None:
        self._client, self._table = client, f"{table_prefix}.session_link"

    def users(self, session_id: str) -> frozenset[str]:
        try:
            answer = self._client.get_item(
                TableName=self._table, Key={"entity_id": {"S": session_id}}, ConsistentRead=True
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError(STORE, type(error).__name__) from error
        return frozenset(answer.get("Item", {}).get("user_ids", {}).get("SS", ()))

    def add(self, session_id: str, user_id: str, at: int) -> None:
        expires_at = (at + KEPT_DAYS * DAY_MS) // 1000
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"entity_id": {"S": session_id}},
                UpdateExpression="ADD user_ids :users SET expires_at = :at",
                ExpressionAttributeValues={":users": {"SS": [user_id]}, ":at": {"N": str(expires_at)}},
            )
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailableError(STORE, type(error).__name__) from error


class SqliteLinks:
    """One small file; opened for each call, so that several processes may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def users(self, session_id: str) -> frozenset[str]:
        rows = self._run("select user_id from session_link where session_id = ?", session_id)
        return frozenset(str(row[0]) for row in rows)

    def add(self, session_id: str, user_id: str, at: int) -> None:
        self._run("insert or ignore into session_link values (?, ?, ?)", session_id, user_id, at)

    def _run(self, statement: str, *values: str | int) -> list[Any]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=5.0)) as connection, connection:
                connection.execute(
                    "create table if not exists session_link "
                    "(session_id text, user_id text, at integer, primary key (session_id, user_id))"
                )
                return connection.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(STORE, f"{type(error).__name__}: {error}") from error
