"""Does a deployed API work? One recommendation, one event, and the next slate must know of it.

Both slates are asked for until nothing of them is degraded, since a function that just starts may miss its deadline.

    python -m infra.smoke --stack fusionrec --user USER
    python -m infra.smoke --url http://127.0.0.1:8000
    FUSIONREC_TOKEN=ACCESS_TOKEN python -m infra.smoke --url SHOPPER_API_URL

With --stack requests are signed (SigV4) and carry the stack's API key; with a token they are of the token's user.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from infra.bootstrap import stack_outputs

VARIABLE: Final = "FUSIONREC_TOKEN"  # a shopper's access token
PATIENCE_S: Final = 60.0  # for a function to start, and for an event to pass the queue


class SmokeError(RuntimeError):
    """The API does not do what it should; the text says what."""


@dataclass(frozen=True, slots=True)
class Api:
    """A base URL and what its requests carry."""

    url: str
    api_key: str = ""
    sign: bool = False
    timeout_s: float = 30.0  # of one call; the gateway itself gives up after 29
    token: str = ""  # a shopper's, in place of signature and key

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and parsed body. Raises SmokeError when there is no answer or no JSON."""
        headers = {"content-type": "application/json"} | ({"x-api-key": self.api_key} if self.api_key else {})
        headers |= {"authorization": f"Bearer {self.token}"} if self.token else {}
        data = json.dumps(body).encode() if body is not None else b""
        if self.sign:
            headers = _signed(method, self.url + path, headers, data)
        request = urllib.request.Request(self.url + path, data=data or None, headers=headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:  # noqa: S310
                status, text = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        except OSError as error:
            raise SmokeError(f"{method} {self.url}{path}: no answer ({error})") from None
        try:
            return status, json.loads(text)
        except ValueError:
            raise SmokeError(f"{method} {path}: {status}, not JSON: {text[:200]!r}") from None


def _signed(method: str, url: str, headers: Mapping[str, str], data: bytes) -> dict[str, str]:
    session = botocore.session.get_session()
    request = AWSRequest(method=method, url=url, data=data, headers=dict(headers))
    region = session.get_config_variable("region")
    SigV4Auth(session.get_credentials(), "execute-api", region).add_auth(request)
    return dict(request.headers.items())


def api_of_stack(stack_name: str) -> Api:
    """The deployed API, with the value of its key."""
    outputs = stack_outputs(stack_name)
    return Api(outputs["ApiUrl"], api_key(outputs["ApiKeyId"]), sign=True)


def api_key(key_id: str) -> str:
    gateway = botocore.session.get_session().create_client("apigateway")
    return str(gateway.get_api_key(apiKey=key_id, includeValue=True)["value"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """The slates before and after the event, both whole, and how long it took to count, in seconds."""

    before: dict[str, Any]
    after: dict[str, Any]
    absorbed_s: float


def smoke(api: Api, user_id: str | None, n_items: int = 5, patience_s: float = PATIENCE_S) -> Outcome:
    """Raises SmokeError, saying which step failed. Without user_id it is the token's user."""
    wanted = {"userId": user_id, "numResults": n_items}
    before, _ = _whole_slate(api, wanted, "first slate", patience_s)
    if not before["itemList"]:
        raise SmokeError(f"first slate: no items: {before}")
    event_id = f"smoke-{uuid.uuid4()}"
    event = {
        "eventId": event_id,
        "eventType": "purchase",
        "itemId": before["itemList"][0]["itemId"],
        "sentAt": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "recommendationId": before["recommendationId"],
    }
    posted = {"userId": user_id, "sessionId": "smoke", "eventList": [event]}
    accepted = _expect(202, api.call("POST", "/v1/events", posted), "event")
    if accepted["accepted"] != 1:
        raise SmokeError(f"event: not accepted: {accepted}")
    return Outcome(before, *_whole_slate(api, wanted, "next slate", patience_s, event_id))


def _whole_slate(
    api: Api, wanted: Mapping[str, Any], step: str, patience_s: float, event_id: str | None = None
) -> tuple[dict[str, Any], float]:
    """The first slate that is not degraded and, where one is given, knows of the event; seconds until one knew."""
    started, known_s = time.monotonic(), None
    while True:
        slate = _expect(200, api.call("POST", "/v1/recommendations", wanted), step)
        knows = event_id in (None, slate["asOfEventId"])
        if knows:
            known_s = time.monotonic() - started if known_s is None else known_s
            if not slate["degraded"]:
                return slate, known_s
        if time.monotonic() - started >= patience_s:
            lack = f"degraded ({', '.join(slate['degraded'])})" if knows else f"does not know event {event_id}"
            raise SmokeError(f"{step}: {lack} after {patience_s:.0f} s: {slate}")
        time.sleep(0.2)


def _expect(status: int, answer: tuple[int, dict[str, Any]], step: str) -> dict[str, Any]:
    if answer[0] != status:
        raise SmokeError(f"{step}: {answer[0]} instead of {status}: {answer[1]}")
    return answer[1]


def _given() -> argparse.Namespace:
    """The arguments: a token and no user, or a user and no token."""
    parser = argparse.ArgumentParser(description="One recommendation, one event, and the next slate must know of it.")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--stack", help="name of a deployed stack")
    place.add_argument("--url", help="base URL, without signature and key")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", help="whose events are sent (smoke-test, unless there is a token)")
    told = "a shopper's access token, for the shoppers' API; every list of processes shows it:"
    whose.add_argument("--token", help=f"{told} better set {VARIABLE}, which is read with --url and without --user")
    given = parser.parse_args()
    if given.stack and given.token:
        parser.error("--token goes with --url: the shoppers' API of a stack is its output ShopperApiUrl")
    if given.url and given.user is None and given.token is None:
        given.token = os.environ.get(VARIABLE)
    given.user = None if given.token else given.user or "smoke-test"
    return given


def main() -> None:
    given = _given()
    try:
        api = api_of_stack(given.stack) if given.stack else Api(given.url.rstrip("/"), token=given.token or "")
        outcome = smoke(api, given.user)
    except SmokeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    items = ", ".join(item["itemId"] for item in outcome.after["itemList"])
    print(
        f"event absorbed after {outcome.absorbed_s:.1f} s; model {outcome.after['modelVersion']}; next slate: {items}"
    )


if __name__ == "__main__":
    main()
