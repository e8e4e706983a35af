"""A deployed stack as its tests use it."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

import botocore.session

from infra import smoke
from tests.e2e.shoppers import ORIGIN, UserPool

STACK = "fusionrec-e2e"
PATIENCE_S = 180.0  # a busy machine starts an emulated function slowly


@dataclass(frozen=True)
class Deployed:
    """A stack on an endpoint, with a bundle in its bucket."""

    endpoint: str
    outputs: dict[str, str]
    version: str
    api: smoke.Api
    pool: UserPool | None  # none where the endpoint has no Cognito

    def client(self, service: str) -> Any:
        return botocore.session.get_session().create_client(service)

    def shoppers_api(self, token: str = "") -> smoke.Api:
        api_id = str(urlsplit(self.outputs["ShopperApiUrl"]).hostname).split(".")[0]
        return smoke.Api(url_of(self.endpoint, api_id), timeout_s=PATIENCE_S, token=token)


def url_of(endpoint: str, api_id: str) -> str:
    """Where an emulator serves what AWS serves under a host of its own."""
    return f"{endpoint}/restapis/{api_id}/prod/_user_request_"


def recent_items(api: smoke.Api, user_id: str, n_items: int) -> set[str]:
    """Items of the user's live events, once there are as many."""
    started, found = time.monotonic(), set[str]()
    while len(found) < n_items and time.monotonic() - started < PATIENCE_S:
        status, profile = api.call("GET", f"/v1/users/{user_id}/profile")
        found = {event["itemId"] for event in profile["recentEvents"]} if status == 200 else set()
        time.sleep(0.2)
    return found


def shown(api: smoke.Api, recent: str) -> list[str]:
    status, slate = api.call("POST", "/v1/recommendations", {"recentItemIds": [recent], "numResults": 20})
    assert status == 200
    return [item["itemId"] for item in slate["itemList"]]


def view(event_id: str, item_id: str) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"eventId": event_id, "eventType": "view", "itemId": item_id, "sentAt": now}


def asked_by_a_page(api: smoke.Api, method: str, path: str) -> tuple[int, Message]:
    """Status and headers; a preflight carries no token."""
    headers = {"origin": ORIGIN, "access-control-request-method": "GET"}
    headers |= {"authorization": f"Bearer {api.token}"} if api.token else {}
    request = urllib.request.Request(api.url + path, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers
