"""The template as the tests read it: its resources, and who answers what and may do what."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

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


def alarms_on(metric: str, resource: str) -> list[str]:
    """Alarms on this metric of this resource that tell somebody."""
    return [
        name
        for name, alarm in of_type("AWS::CloudWatch::Alarm").items()
        if alarm["MetricName"] == metric and resource in mentioned(alarm["Dimensions"]) and alarm["AlarmActions"]
    ]
