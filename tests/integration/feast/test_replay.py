"""Live absorption, a replay of the log, and Feast's own push leave the same rows, in both stores, row by row."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import botocore.session
import pytest
from feast import FeatureStore, RepoConfig
from moto import mock_aws

from benchmarks.feedback_world import CLOCK, history
from fusionrec.absorb import Absorber
from fusionrec.adapters.clock import Countdown
from fusionrec.adapters.feast_dynamodb import DynamoFeatures
from fusionrec.adapters.feast_sdk import SdkFeatures
from fusionrec.adapters.local_files import DirectSink, EventFiles
from fusionrec.adapters.memory import MemoryFeatures, MemoryLinks
from fusionrec.adapters.session_links import DynamoLinks, SqliteLinks
from fusionrec.feature_spec import USER_SESSION
from fusionrec.ports import Interaction
from training.feedback.log import Log, Window
from training.feedback.replay import replay

PREFIXES = ("live", "replayed", "pushed")


def make_store(online: dict[str, Any], project: str, folder: Path) -> FeatureStore:
    config = RepoConfig(
        project=project, provider="local", registry=str(folder / f"{project}.db"), online_store=online,
        offline_store={"type": "duckdb"}, entity_key_serialization_version=3,
    )  # fmt: skip
    made = runpy.run_path("feature_repo/definitions.py")
    store = FeatureStore(config=config)
    store.apply([made["user_entity"], made["user_profile"], made["user_session"]])
    return store


@pytest.fixture
def log(tmp_path: Path) -> tuple[Path, list[Any]]:
    messages = history(Random(11), 160, 5, linked=1.0)
    Random(2).shuffle(messages)
    EventFiles(tmp_path / "log").append([m for m in messages if isinstance(m, Interaction)])
    return tmp_path / "log", messages


def silent(what: str, done: int, total: int) -> None: ...


class TestDynamoDB:
    @pytest.fixture
    def client(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        with mock_aws():
            dynamodb = botocore.session.get_session().create_client("dynamodb")
            for prefix in PREFIXES:
                for view in ("user_profile", "user_session", "session_link"):
                    dynamodb.create_table(
                        TableName=f"{prefix}.{view}", BillingMode="PAY_PER_REQUEST",
                        AttributeDefinitions=[{"AttributeName": "entity_id", "AttributeType": "S"}],
                        KeySchema=[{"AttributeName": "entity_id", "KeyType": "HASH"}],
                    )  # fmt: skip
            yield dynamodb

    def rows(self, client: Any, prefix: str, view: str = "user_session") -> dict[str, Any]:
        items = client.scan(TableName=f"{prefix}.{view}")["Items"]
        return {item["entity_id"]["S"]: item for item in items}

    def test_every_row_is_the_same_to_the_byte(self, client: Any, log: Any, tmp_path: Path) -> None:
        folder, messages = log
        for prefix in ("live", "replayed"):
            features, links = DynamoFeatures(client, prefix, CLOCK, consistent=True), DynamoLinks(client, prefix)
            absorber = Absorber(features, features, CLOCK, links)
            if prefix == "live":
                DirectSink(absorber).put(messages)
            else:
                replay(Log.at(str(folder)), Window(), absorber, links, tmp_path / "scratch", silent)
        assert len(self.rows(client, "live")) > 10
        assert self.rows(client, "replayed") == self.rows(client, "live")
        linked = [
            {key: sorted(item["user_ids"]["SS"]) for key, item in self.rows(client, prefix, "session_link").items()}
            for prefix in ("live", "replayed")
        ]
        assert linked[0] == linked[1] != {}

    def test_feasts_push_writes_what_the_lean_encoding_writes(self, client: Any, log: Any, tmp_path: Path) -> None:
        """The SDK through the newest-wins store, as `feature_store.yaml` has it."""
        _, messages = log
        plain, lean = MemoryFeatures(CLOCK), DynamoFeatures(client, "live", CLOCK, consistent=True)
        DirectSink(Absorber(plain, plain, CLOCK, MemoryLinks())).put(messages)
        online = {
            "type": "fusionrec.adapters.newest_wins_store.NewestWinsOnlineStore",
            "region": "eu-west-1",
            "table_name_template": "pushed.{table_name}",
        }
        client.delete_table(TableName="pushed.user_session")
        store = make_store(online, "fusionrec", tmp_path)
        for key, (event_at, row) in plain._rows["user_session"].items():
            lean.write(key, row, event_at)
            columns = {feature.name: [row[feature.name]] for feature in USER_SESSION.features}
            at = [datetime.fromtimestamp(event_at / 1000, UTC)]
            store.write_to_online_store("user_session", inputs={"user_id": [key], "event_timestamp": at, **columns})
        assert self.rows(client, "pushed") == self.rows(client, "live")


def test_on_sqlite_every_row_is_the_same(log: Any, tmp_path: Path) -> None:
    folder, messages = log
    stores = []
    for project in ("live", "replayed"):
        online = {"type": "sqlite", "path": str(tmp_path / f"{project}-online.db")}
        features = SdkFeatures(make_store(online, project, tmp_path), CLOCK).for_update()
        stores.append((features, SqliteLinks(tmp_path / f"{project}-links.db")))
    (live, live_links), (again, again_links) = stores
    DirectSink(Absorber(live, live, CLOCK, live_links)).put(messages)
    replay(
        Log.at(str(folder)), Window(), Absorber(again, again, CLOCK, again_links), again_links, tmp_path / "s", silent
    )
    keys = sorted({message.group for message in messages})
    assert [again.read(key, Countdown(5000)) for key in keys] == [live.read(key, Countdown(5000)) for key in keys]
    sessions = {message.session_id for message in messages}
    assert {s: again_links.users(s) for s in sessions} == {s: live_links.users(s) for s in sessions}
