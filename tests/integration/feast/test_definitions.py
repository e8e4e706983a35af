"""What Feast is told: the configuration (misspelt keys are accepted silently), the views and services of the spec."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from feast import FileSource, PushSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig
from feast.repo_config import load_repo_config

from fusionrec import feature_spec as spec
from fusionrec.adapters.feast_local import REPOSITORY, local_config, open_local_store
from fusionrec.adapters.newest_wins_store import NewestWinsOnlineStore, NewestWinsOnlineStoreConfig
from fusionrec.errors import StoreUnavailableError
from training.data.feast_store import repository_config


def common(config: Any) -> None:
    assert config.project == spec.PROJECT
    assert config.entity_key_serialization_version == 3
    assert isinstance(config.offline_store, DuckDBOfflineStoreConfig)
    assert config.registry.serve_features_while_materializing is True
    assert config.registry.cache_ttl_seconds == 0
    assert config.registry.registry_type == "file"


def test_the_cloud_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONREC_REGISTRY_URI", "s3://bucket/registry.db")
    monkeypatch.setenv("FUSIONREC_TABLE_PREFIX", "prod")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    config = load_repo_config(REPOSITORY, REPOSITORY / "feature_store.yaml")
    common(config)
    assert type(config.online_store) is NewestWinsOnlineStoreConfig
    assert config.online_store.region == "eu-west-3"
    assert config.online_store.table_name_template == "prod.{table_name}"
    assert config.registry.path == "s3://bucket/registry.db"
    assert config.provider == "aws"


def test_the_cloud_configuration_builds_our_store(monkeypatch: pytest.MonkeyPatch) -> None:
    from feast.infra.online_stores.helpers import get_online_store_from_config  # noqa: PLC0415

    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    config = load_repo_config(REPOSITORY, REPOSITORY / "feature_store.yaml")
    assert type(get_online_store_from_config(config.online_store)) is NewestWinsOnlineStore


def test_the_local_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    monkeypatch.setenv("FUSIONREC_DATASET", "shop")
    by_feast = load_repo_config(REPOSITORY, REPOSITORY / "feature_store.local.yaml")
    by_us = local_config(tmp_path / "shop")
    for config in (by_feast, by_us):
        common(config)
        assert type(config.online_store) is SqliteOnlineStoreConfig
        assert config.online_store.path == str(tmp_path / "shop" / "feast" / "online.db")
        assert config.registry.path == str(tmp_path / "shop" / "feast" / "registry.db")


@pytest.mark.parametrize("cloud", [False, True])
def test_feast_gives_no_advice_that_does_not_hold_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cloud: bool
) -> None:
    """It is silent when a store first needs its registry, as in a demo, and heard of all else."""
    monkeypatch.setenv("FUSIONREC_REGISTRY_URI", "s3://bucket/registry.db")
    monkeypatch.setenv("FUSIONREC_TABLE_PREFIX", "prod")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    dataset: Any = SimpleNamespace(folder=tmp_path / "shop")
    config = repository_config(dataset, cloud)
    assert config.registry.serve_features_while_materializing is True
    assert caplog.messages == []
    logging.getLogger("feast.repo_config").warning("something else")
    assert caplog.messages == ["something else"]


@pytest.mark.parametrize("name", ["feature_store.yaml", "feature_store.local.yaml"])
def test_every_key_is_one_that_feast_knows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feast ignores a misspelt key; here it is compared with the fields of the parsed models."""
    import yaml  # noqa: PLC0415

    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    config = load_repo_config(REPOSITORY, REPOSITORY / name)
    raw = yaml.safe_load((REPOSITORY / name).read_text())
    aliases = {field.alias or key for key, field in type(config).model_fields.items()}
    assert set(raw) <= aliases | set(type(config).model_fields)
    parts = {"registry": config.registry, "online_store": config.online_store, "offline_store": config.offline_store}
    for section, parsed in parts.items():
        assert set(raw[section]) <= set(type(parsed).model_fields), section


def test_views_are_those_of_the_spec(store: Any) -> None:
    views = {view.name: view for view in store.list_feature_views()}
    assert set(views) == {view.name for view in spec.VIEWS}
    for view in spec.VIEWS:
        registered = views[view.name]
        assert [feature.name for feature in registered.features] == [feature.name for feature in view.features]
        assert registered.join_keys == [view.join_key]
        assert registered.ttl == timedelta(days=view.max_age_days)
        assert isinstance(registered.batch_source, FileSource)
        assert (registered.stream_source is not None) == view.push_only
    assert isinstance(views["user_session"].stream_source, PushSource)


def test_services_are_those_of_the_spec(store: Any) -> None:
    services = {service.name: service for service in store.list_feature_services()}
    assert set(services) == set(spec.FEATURE_SERVICES)
    for name, members in spec.FEATURE_SERVICES.items():
        assert [projection.name for projection in services[name].feature_view_projections] == [v.name for v in members]


@pytest.mark.slow
def test_feast_itself_applies_the_repository(synced: Any) -> None:
    """The command of Feast's users: it loads the file as module `definitions`."""
    home = synced.folder.parent
    environment = os.environ | {"FUSIONREC_HOME": str(home), "FUSIONREC_DATASET": synced.folder.name}
    (synced.folder / "feast" / "registry.db").unlink()
    feast = Path(sys.executable).parent / "feast"
    done = subprocess.run(
        [feast, "-c", REPOSITORY, "-f", REPOSITORY / "feature_store.local.yaml", "apply"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    store = open_local_store(synced.folder)
    assert {view.name for view in store.list_feature_views()} == {view.name for view in spec.VIEWS}
    assert {service.name for service in store.list_feature_services()} == set(spec.FEATURE_SERVICES)


def test_an_opened_store_appends_what_is_written(synced: Any, tmp_path: Path) -> None:
    (tmp_path / "feast").mkdir()
    shutil.copy(synced.folder / "feast" / "registry.db", tmp_path / "feast" / "registry.db")
    online = tmp_path / "feast" / "online.db"
    open_local_store(tmp_path)
    assert not online.exists()  # or `sync` would take it for filled
    with closing(sqlite3.connect(online)) as connection:
        connection.execute("create table something (id text)")
    open_local_store(tmp_path)
    with closing(sqlite3.connect(online)) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_store_that_was_never_filled_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=f"run `fusionrec features sync --data {tmp_path.name}`"):
        open_local_store(tmp_path)
