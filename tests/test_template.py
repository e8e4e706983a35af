"""The template against the code: every function has an error path and least privilege, and the names agree."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from fusionrec.settings import Settings, variable
from tests.template import (
    DEFAULTS,
    FUNCTIONS,
    RESOURCES,
    ROOT,
    TEMPLATE,
    alarms_on,
    api_events,
    as_list,
    env_of,
    grants,
    mentioned,
    of_type,
    statements,
)

# Actions and resources that cannot be narrower, each with AWS's reason. What SAM itself adds to a function's role is
# AWSLambdaBasicExecutionRole (its logs) and AWSXrayWriteOnlyAccess (X-Ray knows no resources).
WIDE_BY_NEED = {"service-role/AmazonAPIGatewayPushToCloudWatchLogs"}  # one role for all stages of the account
WIDE_RESOURCES = {"arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:catalog"}  # Glue asks for all levels
WIDE_RESOURCES |= {"arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"}  # the bus

# --- functions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_a_handler_and_states_its_size(name: str) -> None:
    function = {**DEFAULTS, **FUNCTIONS[name]}
    module, _, attribute = function["Handler"].rpartition(".")

    assert re.fullmatch(r"functions\.\w+\.app\.handler", function["Handler"])
    assert callable(getattr(importlib.import_module(module), attribute))
    assert (function["Runtime"], function["Architectures"]) == ("python3.12", ["x86_64"])
    assert function["MemorySize"] >= 256
    assert function["Timeout"] <= (30 if api_events(function) or "Events" not in function else 900)


def test_the_makefile_builds_every_function() -> None:
    listed = re.search(r"^FUNCTIONS := (.*)$", (ROOT / "infra" / "build.mk").read_text(), re.MULTILINE)
    assert listed is not None
    assert sorted(listed[1].split()) == sorted(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_an_error_path(name: str) -> None:
    """Failures raise an alarm; a caller gets a problem from the gateway, a message ends in the dead-letter queue."""
    assert alarms_on("Errors", name)
    if api_events(FUNCTIONS[name]):
        assert RESOURCES["Api"]["Properties"]["GatewayResponses"]["DEFAULT_5XX"]["StatusCode"] == 503
        return
    if "EventInvokeConfig" in FUNCTIONS[name]:  # EventBridge calls it; after the retries its event lies in a queue
        failed = FUNCTIONS[name]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"]["GetAtt"]
        assert alarms_on("ApproximateNumberOfMessagesVisible", failed.split(".")[0])
        return
    (source,) = [m for m in of_type("AWS::Lambda::EventSourceMapping").values() if m["FunctionName"] == {"Ref": name}]
    queue = RESOURCES[source["EventSourceArn"]["GetAtt"].split(".")[0]]["Properties"]
    dead = queue["RedrivePolicy"]["deadLetterTargetArn"]["GetAtt"].split(".")[0]
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert alarms_on("ApproximateNumberOfMessagesVisible", dead)
    assert alarms_on("ApproximateAgeOfOldestMessage", source["EventSourceArn"]["GetAtt"].split(".")[0])


def test_slow_answers_raise_an_alarm() -> None:
    latencies = [a for a in of_type("AWS::CloudWatch::Alarm").values() if a.get("ExtendedStatistic") == "p99"]
    assert any(dimension["Value"] == "/v1/recommendations" for a in latencies for dimension in a["Dimensions"])


def test_recommend_starts_from_a_snapshot_behind_an_alias() -> None:
    function = FUNCTIONS["RecommendFunction"]
    assert function["AutoPublishAlias"]
    assert function["SnapStart"] == {"ApplyOn": "PublishedVersions"}


# --- least privilege ---------------------------------------------------------------------------------------------


def all_policies() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, function in FUNCTIONS.items():
        for statement in statements(function["Policies"]):
            yield name, statement
    for name, role in of_type("AWS::IAM::Role").items():
        for statement in statements(role.get("Policies", [])):
            yield name, statement


@pytest.mark.parametrize(("name", "statement"), list(all_policies()))
def test_no_statement_is_wider_than_its_use(name: str, statement: dict[str, Any]) -> None:
    for action in as_list(statement["Action"]):
        assert "*" not in action, f"{name}: {action}"
    for resource in as_list(statement["Resource"]):
        assert isinstance(resource, dict), f"{name}: {resource} names no resource of this stack"
        assert mentioned(resource) or resource["Sub"] in WIDE_RESOURCES, f"{name}: {resource}"


def test_managed_policies_are_only_those_that_aws_requires() -> None:
    managed = [arn["Sub"] for role in of_type("AWS::IAM::Role").values() for arn in role.get("ManagedPolicyArns", [])]
    assert {arn.split(":policy/")[1] for arn in managed} == WIDE_BY_NEED


def test_every_call_that_the_adapters_make_is_granted_and_nothing_else() -> None:
    calls = set()
    for path in (ROOT / "fusionrec" / "adapters").glob("*.py"):
        calls |= set(re.findall(r"client\.(\w+)\b", path.read_text()))
    actions = {"".join(word.capitalize() for word in call.split("_")) for call in calls}
    actions = {"SendMessage" if action == "SendMessageBatch" else action for action in actions}  # one permission
    if "TransactWriteItems" in actions:  # no permission of its own: each action in it needs its own
        actions = {*actions, "PutItem", "UpdateItem"} - {"TransactWriteItems"}
    granted = {action.split(":")[1] for function in FUNCTIONS.values() for action in grants(function)}
    polling = {"ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility"}  # Lambda's own
    to_be_told = {"ListBucket"}  # without it S3 says "denied" of what is not there

    assert granted - polling - to_be_told == actions


# What a variable lets a function reach needs a grant, and a grant needs the variable: neither is left behind.
REACHED_BY = {
    "FUSIONREC_BUNDLE_URI": ("s3:GetObject", "BundleBucket"),
    "FUSIONREC_ITEM_URI": ("s3:ListBucket", "BundleBucket"),
    "FUSIONREC_EVENT_QUEUE_URL": ("sqs:SendMessage", "EventQueue"),
    "FUSIONREC_DEAD_LETTER_QUEUE_URL": ("sqs:SendMessage", "DeadLetterQueue"),
    "FUSIONREC_TEXT_QUEUE_URL": ("sqs:SendMessage", "TextQueue"),
    "FUSIONREC_EVENT_STREAM": ("firehose:PutRecordBatch", "EventStream"),
    "FUSIONREC_SLATE_STREAM": ("firehose:PutRecord", "SlateStream"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("variable", REACHED_BY)
def test_a_function_may_do_what_its_variables_ask_for(name: str, variable: str) -> None:
    action, resource = REACHED_BY[variable]
    granted = resource in grants(FUNCTIONS[name]).get(action, set())
    assert granted == (variable in env_of(FUNCTIONS[name]))


def test_another_text_model_is_a_parameter_and_may_be_read_by_the_function_that_scores() -> None:
    assert TEMPLATE["Parameters"]["TextModelPrefix"]["Default"] == ""  # the model that is shipped
    uri = {"Sub": "s3://${BundleBucket}/${TextModelPrefix}"}
    assert TEMPLATE["Conditions"]["HasTextModel"] == {"Not": [{"Equals": [{"Ref": "TextModelPrefix"}, ""]}]}
    assert env_of(FUNCTIONS["TextsFunction"])["FUSIONREC_TEXT_MODEL"] == {"If": ["HasTextModel", uri, ""]}
    readers = [name for name, one in all_policies() if "TextModelPrefix" in json.dumps(one["Resource"])]
    assert readers == [name for name in FUNCTIONS if "FUSIONREC_TEXT_MODEL" in env_of(FUNCTIONS[name])]
    assert readers == ["TextsFunction"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_variables_are_fields_of_the_settings(name: str) -> None:
    variables = {variable for variable in env_of(FUNCTIONS[name]) if variable.startswith("FUSIONREC_")}
    assert variables <= {variable(field.name) for field in fields(Settings)}
    assert env_of(FUNCTIONS[name])["FUSIONREC_STORE"] == "dynamodb"
    assert "FUSIONREC_OPEN_ACCESS" not in variables


# --- SAM's own opinion -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sam_finds_nothing_to_complain_of() -> None:
    if not (ROOT / ".tools" / "sam" / "bin" / "sam").exists():
        pytest.skip("no SAM CLI in .tools/sam: run `make tools`")
    done = subprocess.run(["infra/sam", "validate", "--lint"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
