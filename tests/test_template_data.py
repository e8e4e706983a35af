"""What keeps data in the template: tables, buckets, queues and logs."""

from __future__ import annotations

import pytest

from fusionrec import event_log
from fusionrec.absorb import BATCH_MS, MAX_ATTEMPTS
from fusionrec.feature_spec import VIEWS
from tests.template import FUNCTIONS, RESOURCES, of_type


def test_tables_are_those_of_the_user_views() -> None:
    names = {table["TableName"]["Sub"] for table in of_type("AWS::DynamoDB::Table").values()}
    views = {f"${{TablePrefix}}.{view.name}" for view in VIEWS if view.entity == "user"}
    assert names == views | {"${TablePrefix}.session_link", "${TablePrefix}.item_counts", "${TablePrefix}.text_votes"}
    for table in of_type("AWS::DynamoDB::Table").values():
        assert table["KeySchema"][0] == {"AttributeName": "entity_id", "KeyType": "HASH"}
        parted = table["TableName"]["Sub"] == "${TablePrefix}.item_counts"
        assert table["KeySchema"][1:] == ([{"AttributeName": "part", "KeyType": "RANGE"}] if parted else [])
        assert table["SSESpecification"]["SSEEnabled"]
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]


def test_buckets_are_private_encrypted_and_tidy() -> None:
    for name, bucket in of_type("AWS::S3::Bucket").items():
        assert bucket["BucketEncryption"]
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["LifecycleConfiguration"]["Rules"]
        (policy,) = [p for p in of_type("AWS::S3::BucketPolicy").values() if p["Bucket"] == {"Ref": name}]
        (deny,) = policy["PolicyDocument"]["Statement"]
        assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


@pytest.mark.parametrize("kind", ["AWS::DynamoDB::Table", "AWS::S3::Bucket"])
def test_deleting_the_stack_keeps_the_data(kind: str) -> None:
    for name in of_type(kind):
        assert (RESOURCES[name]["DeletionPolicy"], RESOURCES[name]["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_a_message_is_not_seen_twice_while_it_is_worked_on() -> None:
    """AWS's advice is six times the function's timeout; a user's later events wait as long, so the events' queue has
    three times: enough for a try that was refused for want of concurrency and one that was stopped."""
    assert RESOURCES["EventQueue"]["Properties"]["VisibilityTimeout"] >= 3 * FUNCTIONS["AbsorbFunction"]["Timeout"]
    assert FUNCTIONS["AbsorbFunction"]["Timeout"] >= 2 * BATCH_MS / 1000  # one more user may be in the middle then
    assert RESOURCES["TextQueue"]["Properties"]["VisibilityTimeout"] >= 6 * FUNCTIONS["TextsFunction"]["Timeout"]


def test_the_event_log_has_a_column_for_each_field_of_an_event() -> None:
    columns = RESOURCES["EventTable"]["Properties"]["TableInput"]["StorageDescriptor"]["Columns"]
    written = [(field.name, field.kind) for field in event_log.FIELDS]
    assert [(column["Name"], column["Type"]) for column in columns] == written


def test_the_consumer_gives_up_before_the_queue_does() -> None:
    """The consumer adds the reason, which the queue's own rule would not."""
    assert RESOURCES["EventQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] == MAX_ATTEMPTS


def test_logs_are_not_kept_for_ever() -> None:
    groups = of_type("AWS::Logs::LogGroup")
    assert all(group["RetentionInDays"] for group in groups.values())
    assert {function["LoggingConfig"]["LogGroup"]["Ref"] for function in FUNCTIONS.values()} <= set(groups)
