"""Both readers of Feast's rows give what Feast itself gives, whoever wrote the rows."""

from __future__ import annotations

import runpy
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pandas as pd
import pytest
from feast import FeatureStore, RepoConfig
from moto import mock_aws

from fusionrec.adapters.clock import Countdown
from fusionrec.adapters.feast_dynamodb import DynamoFeatures
from fusionrec.adapters.feast_sdk import SdkFeatures
from fusionrec.adapters.memory import FixedClock
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import USER_PROFILE, USER_SESSION, FeatureView
from fusionrec.ports import Row, default_row
from tests.suites.feature_readers import DAY, NOW, NOW_MS, PROFILE, SESSION, FeatureReaderSuite, NewestWinsSuite

VIEWS = (USER_PROFILE, USER_SESSION)
REFERENCES = [f"{view.name}:{feature.name}" for view in VIEWS for feature in view.features]


def apply(store: FeatureStore) -> FeatureStore:
    """The project's own definitions, user side."""
    made = runpy.run_path("feature_repo/definitions.py")
    store.apply([made["user_entity"], made["user_profile"], made["user_session"]])
    return store


def write(store: FeatureStore, view: FeatureView, user_id: str, row: Row, event_at: datetime) -> None:
    columns = {feature.name: [row[feature.name]] for feature in view.features}
    store.write_to_online_store(view.name, inputs={"user_id": [user_id], "event_timestamp": [event_at], **columns})


@pytest.fixture
def sqlite_store(tmp_path: Path) -> FeatureStore:
    config = RepoConfig(
        project="fusionrec",
        provider="local",
        registry=str(tmp_path / "registry.db"),
        online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
    )
    return apply(FeatureStore(config=config))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield


@pytest.fixture
def dynamodb_store(aws: None, tmp_path: Path) -> FeatureStore:
    config = RepoConfig(
        project="fusionrec",
        provider="aws",
        registry=str(tmp_path / "registry.db"),
        online_store={
            "type": "dynamodb",
            "region": "eu-west-1",
            "table_name_template": "fusionrec.{table_name}",
        },
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
    )
    return apply(FeatureStore(config=config))


@pytest.fixture
def client(dynamodb_store: FeatureStore) -> Any:
    return botocore.session.get_session().create_client("dynamodb", region_name="eu-west-1")


class TestSdkOnSqlite(FeatureReaderSuite):
    @pytest.fixture
    def features(self, clock: FixedClock, sqlite_store: FeatureStore) -> SdkFeatures:
        self.store = sqlite_store
        return SdkFeatures(sqlite_store, clock)

    def put(self, features: SdkFeatures, view: FeatureView, user_id: str, row: Row, event_at: datetime) -> None:
        write(self.store, view, user_id, row, event_at)

    def test_who_changes_a_row_sees_it_though_it_has_expired(self, clock: FixedClock, features: SdkFeatures) -> None:
        features.write("u1", SESSION, NOW_MS)
        clock.move(DAY * (USER_SESSION.max_age_days + 1))
        assert features.read("u1", Countdown(5000)).session == default_row(USER_SESSION)
        assert dict(features.for_update().read("u1", Countdown(5000)).session) == SESSION

    def test_it_writes_the_rows_that_the_push_writes(self, features: SdkFeatures, tmp_path: Path) -> None:
        rows = {}
        for how in (lambda: features.write("u1", SESSION, NOW_MS), lambda: self._push("u1")):
            how()
            with closing(sqlite3.connect(tmp_path / "online.db")) as connection, connection:
                columns = "entity_key, feature_name, value, value_text, event_ts"  # created_ts is the time of the call
                found = connection.execute(f"select {columns} from fusionrec_user_session").fetchall()
                connection.execute("delete from fusionrec_user_session")
            rows[how] = sorted(found)
        written, pushed = rows.values()
        assert len(written) == len(USER_SESSION.features)
        assert written == pushed

    def _push(self, user_id: str) -> None:
        at = datetime.fromtimestamp(NOW_MS / 1000, UTC)
        columns = {feature.name: [SESSION[feature.name]] for feature in USER_SESSION.features}
        self.store.push(
            USER_SESSION.name + "_push", pd.DataFrame({"user_id": [user_id], "event_timestamp": [at], **columns})
        )

    def test_who_changes_a_row_reads_no_profile(self, features: SdkFeatures) -> None:
        write(self.store, USER_PROFILE, "u1", PROFILE, datetime.now(UTC))
        assert features.read("u1", Countdown(5000)).profile != default_row(USER_PROFILE)
        assert features.for_update().read("u1", Countdown(5000)).profile == default_row(USER_PROFILE)

    def test_a_store_that_is_gone_degrades_reads_and_fails_writes(self, features: SdkFeatures, tmp_path: Path) -> None:
        (tmp_path / "online.db").write_bytes(b"not a database " * 100)
        assert features.read("u1", Countdown(1000)).missing == ("user_profile", "user_session")
        with pytest.raises(StoreUnavailableError):
            features.write("u1", SESSION, NOW_MS)


class TestLeanOnDynamoDB(FeatureReaderSuite, NewestWinsSuite):
    """Rows are written by Feast's own SDK into its own table."""

    @pytest.fixture
    def features(self, clock: FixedClock, client: Any, dynamodb_store: FeatureStore) -> DynamoFeatures:
        self.store = dynamodb_store
        return DynamoFeatures(client, "fusionrec", clock)

    def put(self, features: DynamoFeatures, view: FeatureView, user_id: str, row: Row, event_at: datetime) -> None:
        write(self.store, view, user_id, row, event_at)

    def test_who_changes_a_row_sees_it_though_it_has_expired(
        self, clock: FixedClock, client: Any, features: Any
    ) -> None:
        features.write("u1", SESSION, NOW_MS)
        clock.move(DAY * (USER_SESSION.max_age_days + 1))
        assert features.read("u1", Countdown(5000)).session == default_row(USER_SESSION)
        for_update = DynamoFeatures(client, "fusionrec", clock, consistent=True)
        assert dict(for_update.read("u1", Countdown(5000)).session) == SESSION

    @pytest.mark.parametrize("row", [SESSION, default_row(USER_SESSION)], ids=["full", "empty lists"])
    def test_feast_reads_what_the_lean_writer_wrote(self, features: DynamoFeatures, row: Row) -> None:
        features.write("Zoë/日本", row, NOW_MS)
        references = [f"user_session:{feature.name}" for feature in USER_SESSION.features]
        found = self.store.get_online_features(features=references, entity_rows=[{"user_id": "Zoë/日本"}]).to_dict()
        assert {name: found[name][0] for name in row} == row

    def test_a_damaged_row_is_missing_and_the_other_is_read(self, features: DynamoFeatures, client: Any) -> None:
        self.put(features, USER_PROFILE, "u1", PROFILE, NOW)
        features.write("u1", SESSION, NOW_MS)
        (item,) = client.scan(TableName="fusionrec.user_session")["Items"]
        item["values"]["M"]["event_ids"] = {"B": b"no protobuf"}
        client.put_item(TableName="fusionrec.user_session", Item=item)
        state = features.read("u1", Countdown(5000))
        assert state.missing == ("user_session",)
        assert state.session == default_row(USER_SESSION)
        assert state.profile == PROFILE

    def test_keys_that_dynamodb_did_not_process_are_asked_for_again(self, clock: FixedClock, client: Any) -> None:
        features = DynamoFeatures(Reluctant(client, rounds=2), "fusionrec", clock)
        features.write("u1", SESSION, NOW_MS)
        state = features.read("u1", Countdown(5000))
        assert dict(state.session) == SESSION
        assert state.missing == ()

    def test_keys_that_are_never_processed_name_their_view(self, clock: FixedClock, client: Any) -> None:
        features = DynamoFeatures(Reluctant(client, rounds=99), "fusionrec", clock)
        assert features.read("u1", Countdown(5000)).missing == ("user_session",)

    def test_a_missing_table_degrades_reads_and_fails_writes(self, clock: FixedClock, client: Any) -> None:
        features = DynamoFeatures(client, "elsewhere", clock)
        assert features.read("u1", Countdown(5000)).missing == ("user_profile", "user_session")
        with pytest.raises(StoreUnavailableError, match="ResourceNotFoundException"):
            features.write("u1", SESSION, NOW_MS)

    def test_a_slow_answer_is_not_waited_for(self, clock: FixedClock, client: Any) -> None:
        import threading  # noqa: PLC0415

        release = threading.Event()

        class Slow:
            def batch_get_item(self, **kwargs: Any) -> Any:
                release.wait(10)
                return client.batch_get_item(**kwargs)

            put_item = client.put_item

        features = DynamoFeatures(Slow(), "fusionrec", clock)
        assert features.read("u1", Countdown(30)).missing == ("user_profile", "user_session")
        release.set()


class Reluctant:
    """Leaves the session table unprocessed for some rounds, as DynamoDB does when it is throttled."""

    def __init__(self, client: Any, rounds: int) -> None:
        self._client, self._rounds = client, rounds
        self.put_item = client.put_item

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        held = {}
        if self._rounds > 0 and "fusionrec.user_session" in RequestItems:
            self._rounds -= 1
            held = {"fusionrec.user_session": RequestItems["fusionrec.user_session"]}
        rest = {table: keys for table, keys in RequestItems.items() if table not in held}
        answer = self._client.batch_get_item(RequestItems=rest) if rest else {"Responses": {}}
        return {**answer, "UnprocessedKeys": held}


@pytest.mark.parametrize("kind", ["sqlite", "dynamodb"])
def test_readers_agree_with_get_online_features(kind: str, request: pytest.FixtureRequest) -> None:
    store: FeatureStore = request.getfixturevalue(f"{kind}_store")
    clock = FixedClock(datetime.now(UTC))
    readers = [SdkFeatures(store, clock)]
    if kind == "dynamodb":
        readers.append(DynamoFeatures(request.getfixturevalue("client"), "fusionrec", clock))  # type: ignore[arg-type]
    write(store, USER_PROFILE, "u1", PROFILE, datetime.now(UTC))
    write(store, USER_SESSION, "u1", SESSION, datetime.now(UTC))
    found = store.get_online_features(
        features=REFERENCES, entity_rows=[{"user_id": "u1"}], full_feature_names=True
    ).to_dict()
    for reader in readers:
        state = reader.read("u1", Countdown(5000))
        for view, row in ((USER_PROFILE, state.profile), (USER_SESSION, state.session)):
            assert dict(row) == {f.name: found[f"{view.name}__{f.name}"][0] for f in view.features}
