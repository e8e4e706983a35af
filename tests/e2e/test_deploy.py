"""A real `sam deploy` of the built template onto an emulator, seeded and used through its API URL.

Set FUSIONREC_E2E_ENDPOINT to run the same against another one, such as LocalStack (`make localstack`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from fusionrec.adapters import feast_codec
from fusionrec.feature_spec import USER_SESSION
from infra import bootstrap, emulator, smoke
from infra.rie import RuntimeUnavailableError

STACK = "fusionrec-e2e"
PATIENCE_S = 180.0  # a busy machine starts an emulated function slowly

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow, pytest.mark.enable_socket]


@dataclass(frozen=True)
class Deployed:
    """A stack on an endpoint, with a bundle in its bucket."""

    endpoint: str
    outputs: dict[str, str]
    version: str
    api: smoke.Api

    def client(self, service: str) -> Any:
        return botocore.session.get_session().create_client(service)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    given = os.environ.get("FUSIONREC_E2E_ENDPOINT")
    if given:
        yield given
        return
    try:
        with emulator.running() as started:
            yield started
    except RuntimeUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def stack(artifact: Path, endpoint: str, bundles: Path, version: str) -> Iterator[Deployed]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.aws_env(endpoint).items():
            patch.setenv(name, value)
        emulator.deploy(endpoint, STACK, artifact.parent / "template.yaml", {"TablePrefix": "fusionrec"})
        outputs = bootstrap.stack_outputs(STACK)
        bootstrap.publish(bundles / version, outputs["BundleUri"])
        url = f"{endpoint}/restapis/{outputs['ApiId']}/prod/_user_request_"
        key = smoke.api_key(outputs["ApiKeyId"])
        yield Deployed(endpoint, outputs, version, smoke.Api(url, key, sign=True, timeout_s=PATIENCE_S))


def test_an_event_changes_the_next_slate(stack: Deployed) -> None:
    outcome = smoke.smoke(stack.api, "user-01", patience_s=PATIENCE_S)

    assert outcome.before["modelVersion"] == outcome.after["modelVersion"] == stack.version
    assert outcome.before["degraded"] == outcome.after["degraded"] == []
    assert outcome.before["asOfEventId"] is None
    scores = [
        {item["itemId"]: item["score"] for item in slate["itemList"]} for slate in (outcome.before, outcome.after)
    ]
    assert scores[0] != scores[1]


def test_the_session_row_is_in_feasts_own_encoding(stack: Deployed) -> None:
    bought = smoke.smoke(stack.api, "user-02", patience_s=PATIENCE_S).before["itemList"][0]["itemId"]
    key = {"entity_id": {"S": feast_codec.entity_id(USER_SESSION, "user-02")}}
    item = stack.client("dynamodb").get_item(TableName="fusionrec.user_session", Key=key)["Item"]

    row = feast_codec.decode_row(USER_SESSION, {name: value["B"] for name, value in item["values"]["M"].items()})
    assert set(item) == {"entity_id", "event_ts", "values"}
    assert row["item_ids"] == [bought]


def test_each_path_reaches_its_function(stack: Deployed) -> None:
    for path in ("/v1/items/item-01/similar?numResults=3", "/v1/trending", "/v1/users/user-01/profile"):
        status, answer = stack.api.call("GET", path)
        assert status == 200, (path, answer)
    status, ready = stack.api.call("GET", "/health/ready")
    assert (status, ready["modelVersion"]) == (200, stack.version)
    status, description = stack.api.call("GET", "/openapi.json")
    assert status == 200
    assert "/v1/recommendations" in description["paths"]


def test_a_bad_request_is_a_problem(stack: Deployed) -> None:
    status, problem = stack.api.call("POST", "/v1/recommendations", {"numResults": 0})

    assert (status, problem["status"]) == (422, 422)
    assert problem["errors"][0]["pointer"] == "/numResults"


def test_without_the_api_key_the_gateway_refuses(stack: Deployed) -> None:
    status, _ = smoke.Api(stack.api.url, sign=True, timeout_s=PATIENCE_S).call("GET", "/v1/trending")

    assert status == 403


def test_seeding_again_uploads_nothing(stack: Deployed, bundles: Path) -> None:
    assert bootstrap.publish(bundles / stack.version, stack.outputs["BundleUri"]) == 0


def test_a_message_that_cannot_be_read_ends_in_the_dead_letter_queue(stack: Deployed) -> None:
    sqs = stack.client("sqs")
    queue, dead = stack.outputs["EventQueueUrl"], stack.outputs["DeadLetterQueueUrl"]
    visibility = {"VisibilityTimeout": "1"}  # so that the test need not wait for five times three minutes
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=visibility)
    sqs.send_message(QueueUrl=queue, MessageBody="{}", MessageGroupId="user-09", MessageDeduplicationId="bad-1")

    received: list[dict[str, Any]] = []
    started = time.monotonic()
    while not received and time.monotonic() - started < PATIENCE_S:
        received = sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=20).get("Messages", [])

    assert [message["Body"] for message in received] == ["{}"]
