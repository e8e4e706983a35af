"""The shoppers' API in the template: made on request only, a token with a scope on every method, one origin."""

from __future__ import annotations

import json
import re

import pytest

from tests.template import FUNCTIONS, RESOURCES, TEMPLATE, of_type, routes

API = RESOURCES["ShopperApi"]["Properties"]
BODY = API["DefinitionBody"]
GIVEN = {"Not": [{"Equals": [{"Ref": "UserPoolArn"}, ""]}]}
READS, WRITES = ({"Sub": "${ResourceServer}/" + scope} for scope in ("recs:read", "events:write"))
# What a shopper's browser needs. The catalogue is the shop's own, and operations have their open paths elsewhere.
SERVED = {
    ("POST", "/v1/recommendations"): READS,
    ("POST", "/v1/events"): WRITES,
    ("GET", "/v1/users/{userId}/profile"): READS,
    ("GET", "/v1/items/{itemId}/similar"): READS,
    ("GET", "/v1/trending"): READS,
}
METHODS = {(method.upper(), path): what for path, item in BODY["paths"].items() for method, what in item.items()}
PERMISSIONS = [p for p in of_type("AWS::Lambda::Permission").values() if "ShopperApi" in json.dumps(p)]


def invoked_as(function: str) -> str:
    """How the template names what is to be invoked: the alias where there is one, since only it has the snapshot."""
    return f"{function}.Alias" if "AutoPublishAlias" in FUNCTIONS[function] else function


def test_it_serves_what_a_browser_needs_and_nothing_else() -> None:
    assert set(METHODS) == set(SERVED)


@pytest.mark.parametrize("route", SERVED)
def test_a_route_ends_in_the_function_of_the_servers_api(route: tuple[str, str]) -> None:
    integration = METHODS[route]["x-amazon-apigateway-integration"]
    uri, names = integration["uri"]["Sub"], {}
    if isinstance(uri, list):
        uri, names = uri
    (named,) = re.findall(r"functions/\$\{(.+?)\}/invocations$", uri)
    assert (integration["type"], integration["httpMethod"]) == ("aws_proxy", "POST")  # POST is Lambda's, for any method
    assert names.get(named, {"Ref": named.removesuffix(".Arn")}) == {"Ref": invoked_as(routes()[route])}


@pytest.mark.parametrize("route", SERVED)
def test_the_gateway_may_invoke_what_a_route_names_and_for_this_route_only(route: tuple[str, str]) -> None:
    path = re.sub(r"\{\w+\}", "*", route[1])
    (found,) = [p for p in PERMISSIONS if p["SourceArn"]["Sub"].endswith(f"${{ShopperApi}}/prod/{route[0]}{path}")]
    assert found["FunctionName"] == {"Ref": invoked_as(routes()[route])}
    assert (found["Principal"], found["Action"]) == ("apigateway.amazonaws.com", "lambda:InvokeFunction")
    assert len(PERMISSIONS) == len(SERVED)


@pytest.mark.parametrize("route", SERVED)
def test_every_method_asks_for_an_access_token_with_its_scope(route: tuple[str, str]) -> None:
    assert METHODS[route]["security"] == [{"shopper": [SERVED[route]]}]


def test_the_token_is_of_the_given_pool() -> None:
    (scheme,) = BODY["components"]["securitySchemes"].values()
    assert (scheme["in"], scheme["name"]) == ("header", "Authorization")
    assert scheme["x-amazon-apigateway-authorizer"] == {
        "type": "cognito_user_pools",
        "providerARNs": [{"Ref": "UserPoolArn"}],
    }


def test_no_part_of_it_is_there_unless_a_pool_is_given() -> None:
    assert TEMPLATE["Parameters"]["UserPoolArn"]["Default"] == ""
    assert TEMPLATE["Conditions"]["HasUserPool"] == GIVEN
    name = BODY["info"]["title"]["Sub"]
    without_graphs = {key: part for key, part in RESOURCES.items() if key != "Dashboard"}  # no data, no lines
    for key, part in {**without_graphs, **TEMPLATE["Outputs"]}.items():
        told = json.dumps(part)
        belongs = key == "ShopperApi" or "{ShopperApi}" in told or '"ShopperApi"' in told or name in told
        assert belongs == (part.get("Condition") == "HasUserPool"), key
    assert TEMPLATE["Outputs"]["ShopperApiUrl"]["Condition"] == "HasUserPool"


@pytest.mark.parametrize(
    ("origin", "taken"),
    [
        ("https://shop.example.com", True),
        ("https://shop.example.com:8443", True),
        ("http://localhost:3000", True),
        ("*", False),
        ("null", False),
        ("https://*.example.com", False),
        ("https://shop.example.com/", False),  # a browser sends no slash, so this one would never match
        ("http://shop.example.com", False),
        ("https://a.example.com,https://b.example.com", False),
        ("https://a.example.com'", False),
    ],
)
def test_an_origin_is_one_whole_origin(origin: str, taken: bool) -> None:
    pattern = TEMPLATE["Parameters"]["ShopperOrigin"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, origin)) == taken


def test_the_origin_is_named_with_the_pool_and_never_by_default() -> None:
    (rule,) = TEMPLATE["Rules"].values()
    (assertion,) = rule["Assertions"]
    assert TEMPLATE["Parameters"]["ShopperOrigin"]["Default"] == ""
    assert rule["RuleCondition"] == GIVEN
    assert assertion["Assert"] == {"Not": [{"Equals": [{"Ref": "ShopperOrigin"}, ""]}]}


def test_preflights_and_answers_name_the_shops_origin() -> None:
    origin = {"Sub": "'${ShopperOrigin}'"}
    assert TEMPLATE["Conditions"]["HasShopperOrigin"] == {"Not": [{"Equals": [{"Ref": "ShopperOrigin"}, ""]}]}
    assert API["Cors"]["AllowOrigin"] == origin
    assert set(API["Cors"]["AllowMethods"].strip("'").split(",")) == {method for method, _ in SERVED}
    assert set(API["Cors"]["AllowHeaders"].strip("'").split(",")) == {"Authorization", "Content-Type"}
    assert API["Variables"] == {"origin": {"Ref": "ShopperOrigin"}}  # for what functions say
    for kind, response in API["GatewayResponses"].items():  # the gateway's own errors; without an origin no header
        headers = response["ResponseParameters"]["Headers"]
        named = {"If": ["HasShopperOrigin", origin, {"Ref": "AWS::NoValue"}]}
        assert headers["Access-Control-Allow-Origin"] == named, kind
        assert ("Retry-After" in headers) == ("Access-Control-Expose-Headers" in headers), kind


def test_another_value_of_a_parameter_reaches_the_stage() -> None:
    assert API["AlwaysDeploy"] is True  # else the deployment's name, and with it the stage, follows the template's text


def test_errors_rates_and_logs_are_those_of_the_servers_api_and_no_key_is_asked_for() -> None:
    servers = RESOURCES["Api"]["Properties"]
    for name in ("GatewayResponses", "MethodSettings", "AccessLogSetting", "EndpointConfiguration", "StageName"):
        assert API[name] == servers[name], name
    assert "Auth" not in API  # neither a usage plan nor SAM's rewriting of what each method says
    assert "api_key" not in json.dumps(BODY)


@pytest.mark.parametrize("metric", ["5XXError", "Latency"])
def test_its_failures_and_slow_answers_raise_an_alarm(metric: str) -> None:
    alarms = [a for a in of_type("AWS::CloudWatch::Alarm").values() if a["MetricName"] == metric]
    watched = [a for a in alarms if {"Name": "ApiName", "Value": BODY["info"]["title"]} in a["Dimensions"]]
    assert watched[0]["AlarmActions"]
