"""The same commands with feature_store.yaml: registry on S3, DynamoDB through our store. On moto, in process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pandas as pd
import pytest
from moto import mock_aws

from fusionrec.errors import BadInputError
from fusionrec.feature_spec import USER_PROFILE, VIEWS
from training.data import feast_store, sync
from training.data.dataset import Dataset

REGION = "eu-west-3"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    variables = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "FUSIONREC_REGISTRY_URI": "s3://registry-bucket/registry.db",
        "FUSIONREC_TABLE_PREFIX": "prod",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("s3", region_name=REGION).create_bucket(
            Bucket="registry-bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        yield


def run(dataset: Dataset) -> sync.Progress:
    progress = sync.Progress.load(dataset, cloud=True)
    for stage in sync.STAGES:
        stage(dataset, progress, lambda *_: None)
    return progress


def n_events(dataset: Dataset, user: str) -> Any:
    store = feast_store.open_store(dataset, cloud=True)
    found = store.get_online_features(features=["user_profile:n_events"], entity_rows=[{"user_id": user}]).to_dict()
    return found["n_events"][0]


@pytest.mark.usefixtures("cloud")
def test_sync_fills_the_tables_that_the_functions_read(synced: Dataset) -> None:
    progress = run(synced)
    assert sync.is_done(progress, synced)
    tables = boto3.client("dynamodb", region_name=REGION).list_tables()["TableNames"]
    assert sorted(tables) == sorted(f"prod.{view.name}" for view in VIEWS)
    for row in feast_store.newest_rows(synced, USER_PROFILE).to_pylist():
        assert n_events(synced, row["user_id"]) == row["n_events"]
    objects = boto3.client("s3", region_name=REGION).list_objects_v2(Bucket="registry-bucket")["Contents"]
    assert [found["Key"] for found in objects] == ["registry.db"]


@pytest.mark.usefixtures("cloud")
def test_a_newer_row_survives_another_sync(synced: Dataset) -> None:
    run(synced)
    store = feast_store.open_store(synced, cloud=True)
    newer = feast_store.newest_rows(synced, USER_PROFILE).slice(0, 1).to_pandas()
    newer["event_timestamp"] = synced.cutoffs.data_end + timedelta(days=1)
    newer["n_events"] = 424242
    store.write_to_online_store("user_profile", df=pd.DataFrame(newer))
    progress = sync.Progress.load(synced, cloud=True)
    progress.forget(["apply", "materialize"])
    progress.save()
    run(synced)
    assert n_events(synced, newer["user_id"][0]) == 424242


@pytest.mark.usefixtures("cloud")
def test_progress_is_kept_per_store(synced: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run(synced)
    assert sync.is_done(sync.Progress.load(synced), synced)  # the local store is as it was
    monkeypatch.setenv("FUSIONREC_TABLE_PREFIX", "staging")
    assert not sync.is_done(sync.Progress.load(synced, cloud=True), synced)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("name", ["FUSIONREC_REGISTRY_URI", "FUSIONREC_TABLE_PREFIX", "AWS_REGION"])
def test_a_missing_variable_is_named(shop: Dataset, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(BadInputError, match="is not set") as error:
        feast_store.open_store(shop, cloud=True)
    assert error.value.pointer == name
