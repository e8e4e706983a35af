"""A real `sam deploy` of the built template onto an emulator, seeded and used through its API URL.

Set FUSIONREC_E2E_ENDPOINT to run the same against another one, such as LocalStack (`make localstack`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fusionrec.adapters import feast_codec
from fusionrec.adapters.sqs import SqsDeadLetters
from fusionrec.feature_spec import USER_SESSION
from fusionrec.messages import to_message
from fusionrec.ports import Interaction
from infra import bootstrap, smoke
from tests.e2e.deployed import PATIENCE_S, STACK, Deployed, asked_by_a_page, recent_items, shown, view
from tests.e2e.shoppers import ORIGIN, READS, WRITES, UserPool, open_pool
from training.feedback.redrive import redrive_queue

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow, pytest.mark.enable_socket]


def test_an_event_changes_the_next_slate(stack: Deployed) -> None:
    outcome = smoke.smoke(stack.api, "user-01", patience_s=PATIENCE_S)

    assert outcome.before["modelVersion"] == outcome.after["modelVersion"] == stack.version
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


def test_a_session_becomes_its_users_at_log_in(stack: Deployed) -> None:
    for body in (
        {"sessionId": "visit-9", "eventList": [view("a1", "item-01"), view("a2", "item-02")]},
        {"sessionId": "visit-9", "userId": "user-20", "eventList": [view("b1", "item-03")]},
        {"sessionId": "visit-9", "eventList": [view("a3", "item-04")]},  # sent late
    ):
        assert stack.api.call("POST", "/v1/events", body)[0] == 202
    assert recent_items(stack.api, "user-20", 4) == {"item-01", "item-02", "item-03", "item-04"}


def test_a_new_item_is_on_slates_and_leaves_them(stack: Deployed, record_property: Callable[[str, Any], None]) -> None:
    """The recommend function learns of it by itself: nothing is deployed and nothing promoted in between."""
    assert "new-01" not in shown(stack.api, "item-02")
    given = {"name": "rusk", "brand": "brand 1", "priceCents": 250}  # the brand of item-02
    status, item = stack.api.call("PUT", "/v1/items/new-01", given)
    assert (status, item["recommendable"]) == (201, True)
    told = time.monotonic()
    while "new-01" not in shown(stack.api, "item-02"):
        assert time.monotonic() - told < PATIENCE_S
        time.sleep(0.2)
    record_property("put_to_slate_s", round(time.monotonic() - told, 2))
    event = {"sessionId": "visit-30", "eventList": [view("n1", "new-01")]}
    while (answer := stack.api.call("POST", "/v1/events", event)[1])["accepted"] + answer["duplicates"] != 1:
        assert time.monotonic() - told < PATIENCE_S, answer
        time.sleep(0.2)
    assert stack.api.call("PUT", "/v1/items/new-01", {"available": False})[0] == 200
    while "new-01" in shown(stack.api, "item-02"):
        assert time.monotonic() - told < PATIENCE_S
        time.sleep(0.2)


def test_an_order_on_the_event_bus_becomes_features(stack: Deployed) -> None:
    detail = {
        "orderId": "e2e-1", "userId": "user-21", "placedAt": datetime.now(UTC).isoformat(),
        "lines": [{"itemId": "item-05", "quantity": 2}, {"itemId": "item-06"}],
    }  # fmt: skip
    entry = {"Source": "shop.orders", "DetailType": "OrderPlaced", "Detail": json.dumps(detail)}
    assert stack.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    assert recent_items(stack.api, "user-21", 2) == {"item-05", "item-06"}


def test_a_file_in_the_bucket_becomes_features(stack: Deployed) -> None:
    rows = [f"user-22,f{n},view,item-0{n},{datetime.now(UTC).isoformat()}\n" for n in (7, 8)]
    text = "userId,eventId,eventType,itemId,sentAt\n" + "".join(rows) + "user-22,f9,view,gone,2026-01-01T00:00:00Z\n"
    bucket, s3 = stack.outputs["DropBucketName"], stack.client("s3")
    s3.put_object(Bucket=bucket, Key="drops/e2e.csv", Body=text.encode())
    assert recent_items(stack.api, "user-22", 2) == {"item-07", "item-08"}
    report = s3.get_object(Bucket=bucket, Key="rejected/e2e.csv.csv")["Body"].read().decode()
    assert "unknown-item" in report


def test_a_dead_letter_is_given_back_and_absorbed(stack: Deployed) -> None:
    sqs = stack.client("sqs")
    queue, dead = stack.outputs["EventQueueUrl"], stack.outputs["DeadLetterQueueUrl"]
    at = int(datetime.now(UTC).timestamp() * 1000)
    event = Interaction("late", "user-23", "visit", "item-09", "view", at)
    SqsDeadLetters(sqs, dead).put(to_message(event), "user-23", "unavailable", "user_session: throttled")
    outcome = redrive_queue(sqs, dead, queue, lambda _: None)
    assert outcome.returned == {"unavailable": 1}
    assert recent_items(stack.api, "user-23", 1) == {"item-09"}


def test_a_message_that_cannot_be_read_ends_in_the_dead_letter_queue(stack: Deployed) -> None:
    sqs = stack.client("sqs")
    queue, dead = stack.outputs["EventQueueUrl"], stack.outputs["DeadLetterQueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="{}", MessageGroupId="user-09", MessageDeduplicationId="bad-1")

    received: list[dict[str, Any]] = []
    started = time.monotonic()
    while not received and time.monotonic() - started < PATIENCE_S:
        answer = sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=20, MessageAttributeNames=["All"])
        received = answer.get("Messages", [])

    assert [message["Body"] for message in received] == ["{}"]
    assert received[0]["MessageAttributes"]["reason"]["StringValue"] == "unreadable"


# --- the shoppers' API -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool(stack: Deployed) -> UserPool:
    if stack.pool is None:
        pytest.skip("no Cognito at this endpoint")
    return stack.pool


@pytest.fixture(scope="module")
def shopper(stack: Deployed, pool: UserPool) -> tuple[str, smoke.Api]:
    user_id = pool.sign_up("ann")
    return user_id, stack.shoppers_api(pool.token("ann", READS, WRITES))


def test_a_shoppers_event_changes_the_tokens_users_next_slate(shopper: tuple[str, smoke.Api]) -> None:
    user_id, api = shopper
    outcome = smoke.smoke(api, None, patience_s=PATIENCE_S)  # names no user

    assert outcome.before["asOfEventId"] is None
    scores = [
        {item["itemId"]: item["score"] for item in slate["itemList"]} for slate in (outcome.before, outcome.after)
    ]
    assert scores[0] != scores[1]
    assert recent_items(api, user_id, 1) == {outcome.before["itemList"][0]["itemId"]}


def test_a_shopper_reads_and_writes_nobody_elses(stack: Deployed, shopper: tuple[str, smoke.Api]) -> None:
    events = {"userId": "user-24", "sessionId": "visit-40", "eventList": [view("s1", "item-01")]}
    for method, path, body in (
        ("POST", "/v1/events", events),
        ("POST", "/v1/recommendations", {"userId": "user-24"}),
        ("GET", "/v1/users/user-24/profile", None),
    ):
        status, problem = shopper[1].call(method, path, body)
        assert (status, problem["code"]) == (403, "forbidden"), path
    marker = {"userId": "user-24", "sessionId": "visit-42", "eventList": [view("s3", "item-02")]}
    assert stack.api.call("POST", "/v1/events", marker)[0] == 202
    assert recent_items(stack.api, "user-24", 1) == {"item-02"}  # the refused one would have come first
    assert shopper[1].call("PUT", "/v1/items/new-02", {"name": "mine"})[0] == 403  # no such path there


def test_the_gateway_refuses_what_is_no_access_token_with_the_scope(stack: Deployed, pool: UserPool) -> None:
    """The emulator's body is its own: it does not import gateway responses. tests/test_template_api.py has ours."""
    pool.sign_up("bob")
    good, stranger = pool.token("bob", READS), open_pool(pool.endpoint)
    stranger.sign_up("bob")
    altered = good[:-8] + ("A" if good[-8] != "A" else "B") + good[-7:]
    bad = [("none", ""), ("text", "abc"), ("altered", altered), ("another pool's", stranger.token("bob", READS))]
    for kind, token in [*bad, *pool.sdk_tokens("bob").items()]:
        assert stack.shoppers_api(token).call("GET", "/v1/trending")[0] == 401, kind
    assert stack.shoppers_api(good).call("GET", "/v1/trending")[0] == 200
    events = {"sessionId": "visit-41", "eventList": [view("s2", "item-01")]}
    assert stack.shoppers_api(good).call("POST", "/v1/events", events)[0] == 401  # may read only


def test_the_shops_pages_may_ask_and_read_the_answers(stack: Deployed, shopper: tuple[str, smoke.Api]) -> None:
    user_id, api = shopper
    reads = ("/v1/items/item-01/similar", "/v1/trending", f"/v1/users/{user_id}/profile", "/v1/users/user-24/profile")
    for path in ("/v1/events", "/v1/recommendations", *reads):
        assert asked_by_a_page(stack.shoppers_api(), "OPTIONS", path)[0] == 200, path  # carries no token
    assert asked_by_a_page(stack.shoppers_api(), "OPTIONS", "/v1/items/item-01")[0] == 403
    for path, wanted in zip(reads, (200, 200, 200, 403), strict=True):
        status, headers = asked_by_a_page(api, "GET", path)
        assert (status, headers.get_all("access-control-allow-origin")) == (wanted, [ORIGIN]), path


def test_what_was_deployed_answers_preflights_and_refusals_as_it_should(stack: Deployed, pool: UserPool) -> None:
    """Of the template after SAM's transformation, since the emulator imports neither from an API's body."""
    processed = stack.client("cloudformation").get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
    processed = json.loads(processed) if isinstance(processed, str) else processed
    body = processed["Resources"]["ShopperApi"]["Properties"]["Body"]
    for path, methods in body["paths"].items():
        preflight = methods["options"]
        assert not preflight.get("security"), path
        (said,) = preflight["x-amazon-apigateway-integration"]["responses"].values()
        named = said["responseParameters"]["method.response.header.Access-Control-Allow-Origin"]
        assert named == {"Fn::Sub": "'${ShopperOrigin}'"}, path
        assert all(what["security"] for method, what in methods.items() if method != "options"), path
    refusal = body["x-amazon-apigateway-gateway-responses"]["UNAUTHORIZED"]
    assert str(refusal["statusCode"]) == "401"
    assert refusal["responseParameters"]["gatewayresponse.header.Content-Type"] == "'application/problem+json'"


def test_a_pool_without_the_origin_of_the_pages_is_refused(stack: Deployed, pool: UserPool) -> None:
    values = {"UserPoolArn": pool.arn, "ShopperOrigin": ""}
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    with pytest.raises(ClientError, match="give ShopperOrigin"):
        stack.client("cloudformation").create_change_set(
            StackName=STACK, ChangeSetName="no-origin", UsePreviousTemplate=True, Parameters=given,
            Capabilities=["CAPABILITY_IAM"],
        )  # fmt: skip
