"""Feast's DynamoDB tables, lean: both of a user's rows in one round trip, and a conditional write."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from fusionrec.adapters import feast_codec as codec
from fusionrec.adapters.expiry import is_expired
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import USER_PROFILE, USER_SESSION, FeatureView
from fusionrec.observability import logger
from fusionrec.ports import Clock, Deadline, Row, UserState, default_row

VIEWS: Final = (USER_PROFILE, USER_SESSION)
MAX_ROUNDS: Final = 4  # of asking again for unprocessed keys


class DynamoClient(Protocol):
    """The two calls of botocore's client that are used here."""

    def batch_get_item(self, **kwargs: Any) -> Mapping[str, Any]: ...

    def put_item(self, **kwargs: Any) -> Mapping[str, Any]: ...


class DynamoFeatures:
    """Reads and writes; tables are `<prefix>.<view>`.

    consistent: for read-modify-write. Reads what was just written, and expired rows too: what a row holds depends on
    its events, not on when they were read.
    """

    def __init__(self, client: DynamoClient, table_prefix: str, clock: Clock, *, consistent: bool = False) -> None:
        self._client, self._clock, self._consistent = client, clock, consistent
        self._tables = {view.name: f"{table_prefix}.{view.name}" for view in VIEWS}
        # The client's own timeouts are set once; a request's deadline is kept by not waiting longer.
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="features")

    def read(self, user_id: str, deadline: Deadline) -> UserState:
        found: dict[str, Mapping[str, Any]] = {}
        pending = {
            self._tables[view.name]: {
                "Keys": [{"entity_id": {"S": codec.entity_id(view, user_id)}}],
                "ConsistentRead": self._consistent,
            }
            for view in VIEWS
        }
        missing = set(self._fetch(pending, found, deadline))
        rows = {view.name: default_row(view) for view in VIEWS}
        for view in VIEWS:
            table = self._tables[view.name]
            if table in found:
                try:
                    rows[view.name] = self._row(view, found[table])
                except Exception:  # whatever a damaged row raises, it is as good as none; and nobody writes onto it
                    logger.exception("user features damaged", extra={"view": view.name})
                    missing.add(table)
        return UserState(
            rows[USER_PROFILE.name],
            rows[USER_SESSION.name],
            tuple(view.name for view in VIEWS if self._tables[view.name] in missing),
        )

    def _row(self, view: FeatureView, item: Mapping[str, Any]) -> Row:
        event_at = codec.parse_event_timestamp(item["event_ts"]["S"])
        if not self._consistent and is_expired(view, event_at, self._clock.now()):
            return default_row(view)
        return codec.decode_row(view, {name: value["B"] for name, value in item["values"]["M"].items()})

    def _fetch(
        self, pending: Mapping[str, Any], found: dict[str, Mapping[str, Any]], deadline: Deadline
    ) -> Mapping[str, Any]:
        """Fill `found` (table → item); returns the tables that gave no answer in time."""
        for _ in range(MAX_ROUNDS):
            remaining_ms = deadline.remaining_ms()
            if not pending or remaining_ms <= 0:
                break
            call = self._threads.submit(self._client.batch_get_item, RequestItems=pending)
            try:
                response = call.result(timeout=remaining_ms / 1000)
            except (BotoCoreError, ClientError, FutureTimeoutError) as error:
                logger.warning("user features not read", extra={"detail": f"{type(error).__name__}: {error}"})
                break
            for table, items in response["Responses"].items():
                found.update((table, item) for item in items)
            pending = response.get("UnprocessedKeys") or {}
        return pending

    def write(self, user_id: str, row: Row, event_at: int, replacing: Row | None = None) -> None:
        """Write the session row unless a newer one is there, or none but the one that it replaces."""
        values = {name: {"B": value} for name, value in codec.encode_row(USER_SESSION, row).items()}
        timestamp = {"S": codec.event_timestamp(event_at)}
        try:
            self._client.put_item(
                TableName=self._tables[USER_SESSION.name],
                Item={
                    "entity_id": {"S": codec.entity_id(USER_SESSION, user_id)},
                    "event_ts": timestamp,
                    "values": {"M": values},
                },
                **_condition(timestamp, replacing),
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code != "ConditionalCheckFailedException":
                raise StoreUnavailableError(USER_SESSION.name, code) from error
            if replacing is not None:
                raise StoreUnavailableError(USER_SESSION.name, "another writer changed the row") from error
        except BotoCoreError as error:
            raise StoreUnavailableError(USER_SESSION.name, type(error).__name__) from error


def _condition(timestamp: Mapping[str, str], replacing: Row | None) -> dict[str, Any]:
    if replacing is None:
        return {
            "ConditionExpression": "attribute_not_exists(entity_id) OR event_ts <= :event_ts",
            "ExpressionAttributeValues": {":event_ts": timestamp},
        }
    held = codec.encode_value("string_list", replacing["event_ids"])  # the ids tell two rows of a user apart
    return {
        "ConditionExpression": "attribute_not_exists(entity_id) OR #values.event_ids = :held"
        if not replacing["event_ids"]
        else "#values.event_ids = :held",
        "ExpressionAttributeNames": {"#values": "values"},
        "ExpressionAttributeValues": {":held": {"B": held}},
    }
