"""Our DynamoDB store: an older row never replaces a newer one. On moto, in process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.types import Array, Int64, String
from moto import mock_aws

from fusionrec.adapters.newest_wins_store import newest_items

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def make_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Feast repository with one pushable view on the named type of online store."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)

    def build(online_type: str) -> FeatureStore:
        config = RepoConfig(
            project="fusionrec",
            provider="aws",
            registry={"registry_type": "file", "path": str(tmp_path / f"{online_type}.db")},
            online_store={"type": online_type, "region": "eu-west-3", "table_name_template": "fusionrec.{table_name}"},
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
            repo_path=tmp_path,
        )
        frame([("u1", NOW - 2 * HOUR, 1)]).to_parquet(tmp_path / "rows.parquet", coerce_timestamps="us")
        user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
        rows = FileSource(name="rows", path=str(tmp_path / "rows.parquet"), timestamp_field="event_timestamp")
        view = FeatureView(
            name="live",
            entities=[user],
            schema=[Field(name="n", dtype=Int64), Field(name="items", dtype=Array(String))],
            source=PushSource(name="live_push", batch_source=rows),
            ttl=timedelta(0),
        )
        store = FeatureStore(config=config)
        store.apply([user, view])
        return store

    with mock_aws():
        yield build


@pytest.fixture
def store(make_store: Any) -> FeatureStore:
    return make_store("fusionrec.adapters.newest_wins_store.NewestWinsOnlineStore")


def frame(rows: list[tuple[str, datetime, int]]) -> pd.DataFrame:
    users, times, values = zip(*rows, strict=True)
    return pd.DataFrame({"user_id": users, "event_timestamp": times, "n": values, "items": [[f"i{n}"] for n in values]})


def push(store: FeatureStore, *rows: tuple[str, datetime, int]) -> None:
    store.push("live_push", frame(list(rows)))


def read(store: FeatureStore, user: str = "u1") -> int | None:
    found = store.get_online_features(features=["live:n", "live:items"], entity_rows=[{"user_id": user}]).to_dict()
    n = found["n"][0]
    assert found["items"][0] == (None if n is None else [f"i{n}"])  # a row is replaced whole or not at all
    return n  # type: ignore[no-any-return]


def test_an_older_push_is_ignored(store: FeatureStore) -> None:
    push(store, ("u1", NOW, 7))
    push(store, ("u1", NOW - HOUR, 3))
    assert read(store) == 7


def test_a_newer_push_replaces(store: FeatureStore) -> None:
    push(store, ("u1", NOW, 7))
    push(store, ("u1", NOW + timedelta(microseconds=1), 8))
    assert read(store) == 8


def test_the_same_time_replaces_so_that_a_retry_is_harmless(store: FeatureStore) -> None:
    push(store, ("u1", NOW, 7))
    push(store, ("u1", NOW, 8))
    assert read(store) == 8


def test_a_batch_keeps_each_users_newest_row_whatever_its_order(store: FeatureStore) -> None:
    push(store, ("u1", NOW, 7), ("u2", NOW - HOUR, 4), ("u1", NOW - HOUR, 3), ("u2", NOW, 5))
    assert (read(store), read(store, "u2"), read(store, "u3")) == (7, 5, None)


def test_materialize_after_a_push_does_not_overwrite_it(store: FeatureStore) -> None:
    push(store, ("u1", NOW, 7))
    store.materialize(NOW - 24 * HOUR, NOW, feature_views=["live"])
    assert read(store) == 7


def test_materialize_fills_what_is_not_there(store: FeatureStore) -> None:
    store.materialize(NOW - 24 * HOUR, NOW, feature_views=["live"])
    assert read(store) == 1


def test_times_of_other_zones_are_compared_as_moments(store: FeatureStore) -> None:
    """As texts, 13:30+02:00 would look later than 12:00+00:00; it is half an hour earlier."""
    (row,) = read_rows(store, ("u1", NOW, 7))
    earlier = (row[0], row[1], (NOW - HOUR / 2).astimezone(timezone(2 * HOUR)), None)
    naive = (row[0], row[1], NOW.replace(tzinfo=None), None)
    items = [newest_items(store.config, data)[0]["event_ts"]["S"] for data in ([earlier], [naive], [row, earlier])]
    assert items == ["2026-11-01 11:30:00+00:00", "2026-11-01 12:00:00+00:00", "2026-11-01 12:00:00+00:00"]


def read_rows(store: FeatureStore, *rows: tuple[str, datetime, int]) -> list[Any]:
    """Rows as Feast hands them to an online store."""
    from feast.utils import _convert_arrow_to_proto  # noqa: PLC0415

    view = store.get_feature_view("live")
    return list(_convert_arrow_to_proto(pa.Table.from_pandas(frame(list(rows))), view, {"user_id": ValueType.STRING}))


def test_the_async_path_has_the_same_condition(store: FeatureStore) -> None:
    asyncio.run(store.push_async("live_push", frame([("u1", NOW, 7)])))
    asyncio.run(store.push_async("live_push", frame([("u1", NOW - HOUR, 3)])))
    assert read(store) == 7


def test_more_rows_than_writers(store: FeatureStore) -> None:
    push(store, *((f"user-{n}", NOW, n) for n in range(100)))
    assert [read(store, f"user-{n}") for n in (0, 50, 99)] == [0, 50, 99]


def test_other_errors_are_not_swallowed(store: FeatureStore) -> None:
    import boto3  # noqa: PLC0415
    from botocore.exceptions import ClientError  # noqa: PLC0415

    boto3.client("dynamodb", region_name="eu-west-3").delete_table(TableName="fusionrec.live")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        push(store, ("u1", NOW, 7))


def test_the_plain_store_does_lose_the_newer_row(make_store: Any) -> None:
    """Why ours exists; when this fails, Feast has mended it and ours can go."""
    plain = make_store("dynamodb")
    push(plain, ("u1", NOW, 7))
    push(plain, ("u1", NOW - HOUR, 3))
    assert read(plain) == 3
