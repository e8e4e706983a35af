"""The template against the code: every function has an error path and least privilege, and the names agree."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions import openapi
from fusionrec import event_log
from fusionrec.absorb import BATCH_MS, MAX_ATTEMPTS
from fusionrec.contracts.events import Event, EventsRequest
from fusionrec.contracts.items import ItemAttributes
from fusionrec.contracts.problems import MEDIA_TYPE, Problem
from fusionrec.contracts.recommendations import RecommendationRequest
from fusionrec.feature_spec import VIEWS
from fusionrec.messages import from_message
from fusionrec.settings import Settings, variable
from fusionrec.sources import OrderPlaced

ROOT = Path(__file__).parents[1]
EVENTS = sorted((ROOT / "events").glob("*.json"))
# Actions and resources that cannot be narrower, each with AWS's reason. What SAM itself adds to a function's role is
# AWSLambdaBasicExecutionRole (its logs) and AWSXrayWriteOnlyAccess (X-Ray knows no resources).
WIDE_BY_NEED = {"service-role/AmazonAPIGatewayPushToCloudWatchLogs"}  # one role for all stages of the account
WIDE_RESOURCES = {"arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:catalog"}  # Glue asks for all levels
WIDE_RESOURCES |= {"arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"}  # the bus
OPEN_PATHS = {"/health/live", "/health/ready", "/openapi.json"}

Node = Any


class CloudFormationLoader(yaml.SafeLoader):
    """`!Ref X` as {"Ref": "X"}, `!GetAtt X.Arn` as {"GetAtt": "X.Arn"}, and so on."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


CloudFormationLoader.add_multi_constructor("!", _tagged)

TEMPLATE: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), CloudFormationLoader)
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]


def of_type(name: str) -> dict[str, Any]:
    return {key: value["Properties"] for key, value in RESOURCES.items() if value["Type"] == name}


FUNCTIONS = of_type("AWS::Serverless::Function")
DEFAULTS = TEMPLATE["Globals"]["Function"]


def env_of(function: Mapping[str, Any]) -> dict[str, Any]:
    own = function.get("Environment", {}).get("Variables", {})
    return {**DEFAULTS["Environment"]["Variables"], **own}


def statements(policies: list[Any]) -> Iterator[dict[str, Any]]:
    for policy in policies:
        yield from policy.get("PolicyDocument", policy)["Statement"]


def as_list(value: Node) -> list[Any]:
    return value if isinstance(value, list) else [value]


def grants(function: Mapping[str, Any]) -> dict[str, set[str]]:
    """action → logical ids of the resources it may touch."""
    found: dict[str, set[str]] = {}
    for statement in statements(function["Policies"]):
        names = {
            re.split(r"[.}]", re.sub(r"^\$\{", "", next(iter(r.values()))))[0] for r in as_list(statement["Resource"])
        }
        for action in as_list(statement["Action"]):
            found.setdefault(action, set()).update(names)
    return found


def mentioned(node: Node) -> set[str]:
    """Logical ids of this template that a value refers to."""
    return {name for name in re.findall(r"\w+", json.dumps(node)) if name in RESOURCES}


def api_events(function: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [event for event in function.get("Events", {}).values() if event["Type"] == "Api"]


def routes() -> dict[tuple[str, str], str]:
    """(method, path) → logical id of the function that answers it."""
    found = {}
    for name, function in FUNCTIONS.items():
        for event in api_events(function):
            found[event["Properties"]["Method"].upper(), event["Properties"]["Path"]] = name
    return found


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


def alarms_on(metric: str, resource: str) -> list[str]:
    """Alarms on this metric of this resource that tell somebody."""
    return [
        name
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items()
        if alarm["MetricName"] == metric and resource in mentioned(alarm["Dimensions"]) and alarm["AlarmActions"]
    ]


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


# --- the API -----------------------------------------------------------------------------------------------------


def test_the_gateway_serves_what_the_api_describes() -> None:
    described = {
        (method.upper(), path)
        for path, methods in json.loads(openapi.document())["paths"].items()
        for method in methods
    }
    assert set(routes()) == described | {("GET", "/openapi.json")}


def test_only_operations_are_open_to_everyone() -> None:
    api = RESOURCES["Api"]["Properties"]["Auth"]
    assert (api["DefaultAuthorizer"], api["ApiKeyRequired"]) == ("AWS_IAM", True)
    for function in FUNCTIONS.values():
        for event in api_events(function):
            properties = event["Properties"]
            assert ("Auth" in properties) == (properties["Path"] in OPEN_PATHS)


def test_callers_are_throttled_and_have_a_quota() -> None:
    api = RESOURCES["Api"]["Properties"]
    plan = api["Auth"]["UsagePlan"]
    assert plan["CreateUsagePlan"] == "PER_API"
    assert plan["Throttle"]["RateLimit"]
    assert plan["Quota"]["Limit"]
    assert all(setting["ThrottlingRateLimit"] for setting in api["MethodSettings"])
    assert not any(setting["DataTraceEnabled"] for setting in api["MethodSettings"])


@pytest.mark.parametrize("kind", RESOURCES["Api"]["Properties"]["GatewayResponses"])
def test_the_gateways_own_errors_are_problems(kind: str) -> None:
    response = RESOURCES["Api"]["Properties"]["GatewayResponses"][kind]
    headers = response["ResponseParameters"]["Headers"]
    template = response["ResponseTemplates"]["application/json"]
    filled = template.replace("$context.error.messageString", '"why"').replace("$context.", "")

    problem = Problem.model_validate_json(filled)
    assert problem.status == response["StatusCode"]
    assert headers["Content-Type"] == f"'{MEDIA_TYPE}'"
    assert ("Retry-After" in headers) == (problem.status in (429, 503))


# --- what keeps data ---------------------------------------------------------------------------------------------


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


# --- example events ----------------------------------------------------------------------------------------------


def consumer_of(event: dict[str, Any]) -> str:
    return "TextsFunction" if event["Records"][0]["eventSourceARN"].endswith("texts") else "AbsorbFunction"


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_an_example_event_is_one_that_its_function_gets(path: Path) -> None:
    event = json.loads(path.read_text())
    if "Records" in event:
        assert [from_message(record["body"]).event_id for record in event["Records"]]
        if consumer_of(event) == "AbsorbFunction":
            group = event["Records"][0]["attributes"]["MessageGroupId"]
            assert group == from_message(event["Records"][0]["body"]).user_id
        return
    if "detail-type" in event:
        patterns = [rule["Properties"]["Pattern"] for rule in FUNCTIONS["SourcesFunction"]["Events"].values()]
        assert event["detail-type"] in [kind for pattern in patterns for kind in pattern["detail-type"]]
        if event["detail-type"] == "OrderPlaced":
            OrderPlaced.model_validate(event["detail"])
        return
    assert (event["httpMethod"], event["resource"]) in routes()
    models = {
        "/v1/recommendations": RecommendationRequest, "/v1/events": EventsRequest, "/v1/items/{itemId}": ItemAttributes,
    }  # fmt: skip
    if event["body"] and not path.stem.endswith("-bad"):
        parsed = models[event["resource"]].model_validate_json(event["body"])
        for item in getattr(parsed, "event_list", ()):
            Event.model_validate(item)


def test_every_function_has_an_example_event() -> None:
    events = [json.loads(path.read_text()) for path in EVENTS]
    served = {routes().get((e.get("httpMethod", ""), e.get("resource", ""))) for e in events} - {None}
    served |= {consumer_of(e) for e in events if "Records" in e} | {
        "SourcesFunction" for e in events if "detail-type" in e
    }
    assert served == set(FUNCTIONS)


# --- SAM's own opinion -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sam_finds_nothing_to_complain_of() -> None:
    if not (ROOT / ".tools" / "sam" / "bin" / "sam").exists():
        pytest.skip("no SAM CLI in .tools/sam: run `make tools`")
    done = subprocess.run(["infra/sam", "validate", "--lint"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
