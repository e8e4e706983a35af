"""The online store's suite against Amazon's own DynamoDB Local: it checks expressions, types and keys as AWS does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import botocore.session
import pytest
from feast import FeatureStore, RepoConfig

from fusionrec.adapters.clock import Countdown
from fusionrec.adapters.feast_dynamodb import DynamoFeatures
from fusionrec.adapters.feast_sdk import SdkFeatures
from fusionrec.adapters.item_counts import KNOWN, DynamoCounts, _why
from fusionrec.adapters.memory import FixedClock
from fusionrec.adapters.session_links import DynamoLinks
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import USER_SESSION
from fusionrec.ports import default_row
from infra import dynamodb_local
from infra.rie import RuntimeUnavailableError
from tests.contract import test_feast_readers as readers
from tests.suites.feature_readers import NOW, NOW_MS, SESSION
from tests.suites.item_counts import HOUR, SOON, ItemCountsSuite, touch
from tests.suites.item_counts import table as make_counts_table

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    try:
        with dynamodb_local.running() as started:
            yield started
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def aws(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account without tables, before and after."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    yield
    dynamodb = botocore.session.get_session().create_client("dynamodb")
    for name in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName=name)


@pytest.fixture
def dynamodb_store(aws: None, endpoint: str, tmp_path: Path, request: pytest.FixtureRequest) -> FeatureStore:
    online = {"region": "eu-west-1", "table_name_template": "fusionrec.{table_name}", "endpoint_url": endpoint}
    config = RepoConfig(
        project="fusionrec",
        provider="aws",
        registry=str(tmp_path / "registry.db"),
        online_store={"type": getattr(request, "param", "dynamodb"), **online},
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
    )
    return readers.apply(FeatureStore(config=config))


@pytest.fixture
def client(dynamodb_store: FeatureStore) -> Any:
    return botocore.session.get_session().create_client("dynamodb")


class TestLean(readers.TestLeanOnDynamoDB):
    """Reading, conditional puts, unprocessed keys, damaged rows, a missing table: all that holds on moto holds here."""


class TestCounts(ItemCountsSuite):
    """Transactions, conditions and ranges of keys as AWS checks them."""

    @pytest.fixture
    def counts(self, client: Any) -> DynamoCounts:
        make_counts_table(client)
        return DynamoCounts(client, "fusionrec")

    def test_writers_at_once_meet_and_count_each_touch_once(self, counts: DynamoCounts, client: Any) -> None:
        """Eight consumers on one item, each with half of the same touches; the store cancels what collides."""
        touches = [touch(f"u{n}", kind=kind) for n in range(40) for kind in ("view", "cart")]

        def consume(number: int) -> None:
            mine = Random(number).sample(touches, k=40)
            while mine:
                portion = mine[:5]
                try:
                    counts.add(portion)
                except StoreUnavailableError:  # six times others were first: told again, as the log's replay does
                    continue
                del mine[:5]

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(consume, range(8)))
        counts.add(touches)
        assert counts.hours(HOUR, HOUR, SOON) == {HOUR: {"tea": 40 * (1 + 3)}}
        assert counts.days(HOUR // 24, HOUR // 24, SOON) == {HOUR // 24: {"tea": 40 * (1 + 3)}}

    def test_a_cancelled_transaction_says_why(self, counts: DynamoCounts, client: Any) -> None:
        counts.add([touch()])
        with pytest.raises(client.exceptions.TransactionCanceledException) as caught:
            counts._count([touch(), touch("u2")])  # as another writer would have, in between
        assert _why(caught.value) == KNOWN


NEWEST_WINS = "fusionrec.adapters.newest_wins_store.NewestWinsOnlineStore"


@pytest.mark.parametrize("dynamodb_store", ["dynamodb", NEWEST_WINS], indirect=True)
def test_both_readers_agree_on_rows_of_either_store(dynamodb_store: FeatureStore, client: Any) -> None:
    clock = FixedClock(NOW)
    readers.write(dynamodb_store, USER_SESSION, "u1", SESSION, NOW)
    lean = DynamoFeatures(client, "fusionrec", clock).read("u1", Countdown(5000))
    assert lean == SdkFeatures(dynamodb_store, clock).read("u1", Countdown(5000))
    assert dict(lean.session) == SESSION


@pytest.mark.parametrize("dynamodb_store", [NEWEST_WINS], indirect=True)
def test_a_batch_writer_does_not_overwrite_a_newer_row(dynamodb_store: FeatureStore, client: Any) -> None:
    features = DynamoFeatures(client, "fusionrec", FixedClock(NOW))
    features.write("u1", {**SESSION, "last_event_id": "live"}, NOW_MS + 1, replacing=default_row(USER_SESSION))
    readers.write(dynamodb_store, USER_SESSION, "u1", SESSION, NOW)
    assert features.read("u1", Countdown(5000)).session["last_event_id"] == "live"


def test_links_are_a_growing_set(client: Any) -> None:
    client.create_table(
        TableName="fusionrec.session_link",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "entity_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "entity_id", "KeyType": "HASH"}],
    )
    links = DynamoLinks(client, "fusionrec")
    assert links.users("s/日本") == frozenset()
    for user in ("u1", "u2", "u1"):
        links.add("s/日本", user, NOW_MS)
    assert links.users("s/日本") == {"u1", "u2"}
    item = client.get_item(TableName="fusionrec.session_link", Key={"entity_id": {"S": "s/日本"}})["Item"]
    assert int(item["expires_at"]["N"]) > NOW_MS // 1000
