"""Feast's DynamoDB online store with one change: an older row never replaces a newer one, not even inside one batch.

Named in feature_repo/feature_store.yaml; used by batch writers (materialize, replay), never by a function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError
from feast import FeatureView, RepoConfig
from feast.infra.online_stores import dynamodb
from feast.utils import make_tzaware

WRITERS: Final = 16  # conditional writes go one row a call; boto3 clients may be shared by threads
NEWER_OR_NEW: Final = "attribute_not_exists(entity_id) OR event_ts <= :event_ts"

Row = tuple[Any, dict[str, Any], datetime, datetime | None]  # entity key, values, event time, created time


class NewestWinsOnlineStoreConfig(dynamodb.DynamoDBOnlineStoreConfig):  # type: ignore[misc]
    """The DynamoDB store's settings; only `type` differs."""

    type: str = "fusionrec.adapters.newest_wins_store.NewestWinsOnlineStore"


class NewestWinsOnlineStore(dynamodb.DynamoDBOnlineStore):  # type: ignore[misc]
    """Reads as its parent does."""

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Write each entity's newest row unless the table holds a newer one. An equal time overwrites: a retry."""
        store = config.online_store
        client = self._get_dynamodb_client(store.region, store.endpoint_url, store.session_based_auth)
        table_name = dynamodb._get_table_name(store, config, table)

        def write(item: dict[str, Any]) -> None:
            try:
                client.put_item(
                    TableName=table_name,
                    Item=item,
                    ConditionExpression=NEWER_OR_NEW,
                    ExpressionAttributeValues={":event_ts": item["event_ts"]},
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise

        with ThreadPoolExecutor(WRITERS) as threads:
            for _ in threads.map(write, newest_items(config, data)):
                pass
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Callable[[int], Any] | None
    ) -> None:
        """The same condition for `push_async`, whose parent would overwrite."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)


def newest_items(config: RepoConfig, data: list[Row]) -> list[dict[str, Any]]:
    """One DynamoDB item per entity. Times are written in UTC, so that their texts sort as the times do."""
    newest: dict[str, tuple[datetime, dict[str, Any]]] = {}
    for entity_key, values, event_at, _ in data:
        at = make_tzaware(event_at).astimezone(UTC)
        item = dynamodb._to_client_write_item(config, entity_key, values, at)
        known = newest.get(item["entity_id"]["S"])
        if known is None or known[0] <= at:
            newest[item["entity_id"]["S"]] = (at, item)
    return [item for _, item in newest.values()]
