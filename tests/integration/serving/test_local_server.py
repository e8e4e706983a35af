"""The real handlers over real HTTP, with the real Feast store on SQLite."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from functions.local_server import RequestHandler, Server
from tests.integration.serving.conftest import DATASET, Api, StartServer

pytestmark = [pytest.mark.network, pytest.mark.slow]

PROBLEM = "application/problem+json"
SENT = "2026-11-01T00:00:01Z"


def event(event_id: str, item_id: str, event_type: str = "purchase") -> dict[str, Any]:
    return {"eventId": event_id, "eventType": event_type, "itemId": item_id, "sentAt": SENT}


def slate(api: Api, **request: Any) -> Any:
    answer = api.ask("POST", "/v1/recommendations", request)
    assert answer.status == 200, answer.text
    return answer.json


def shown(answer: Any) -> list[str]:
    return [item["itemId"] for item in answer["itemList"]]


def test_a_shopper_gets_a_slate_with_reasons_and_timings(api: Api) -> None:
    answer = api.ask("POST", "/v1/recommendations", {"userId": "shopper", "numResults": 5, "explain": True})
    assert answer.status == 200
    assert re.fullmatch(r"(\w+;dur=[\d.]+, )+total;dur=[\d.]+", answer.headers["Server-Timing"])
    assert answer.json["degraded"] == []
    assert answer.json["modelVersion"] == "toy"
    assert len(answer.json["itemList"]) == 5
    first = answer.json["itemList"][0]
    assert set(first) == {"itemId", "score", "reasons", "contributions", "metadata"}
    assert any(item["reasons"] for item in answer.json["itemList"])


def test_an_event_changes_the_next_answer_of_its_user_only(api: Api) -> None:
    before, other = slate(api, userId="mover", numResults=10), slate(api, userId="other", numResults=10)
    body = {
        "userId": "mover",
        "sessionId": "s",
        "eventList": [event("m1", "item-08"), event("m2", "item-03", "removal")],
    }
    answer = api.ask("POST", "/v1/events", body)
    assert (answer.status, answer.json) == (202, {"accepted": 2, "duplicates": 0, "rejected": []})
    after = slate(api, userId="mover", numResults=10)
    assert before["asOfEventId"] is None
    assert after["asOfEventId"] == "m2"
    assert shown(after) != shown(before)
    assert "item-03" in shown(before)
    assert "item-03" not in shown(after)
    assert shown(slate(api, userId="other", numResults=10)) == shown(other)
    assert api.ask("POST", "/v1/events", body).json["duplicates"] == 2


def test_events_and_slates_are_logged(api: Api, workspace: Path) -> None:
    body = {"userId": "logged", "sessionId": "s", "eventList": [event("l1", "item-02"), event("l2", "gone")]}
    api.ask("POST", "/v1/events", body)
    made = slate(api, userId="logged")["recommendationId"]
    events, slates = (
        [json.loads(line) for path in (workspace / DATASET / "log" / kind).glob("*.jsonl") for line in path.open()]
        for kind in ("events", "slates")
    )
    assert [row["event_id"] for row in events if row["user_id"] == "logged"] == ["l1"]
    assert [row["as_of_event_id"] for row in slates if row["recommendation_id"] == made] == ["l1"]


def test_the_profile_joins_both_views(api: Api) -> None:
    api.ask(
        "POST", "/v1/events", {"userId": "shopper", "sessionId": "s", "eventList": [event("p1", "item-05", "view")]}
    )
    profile = api.ask("GET", "/v1/users/shopper/profile").json
    assert [row["itemId"] for row in profile["recentEvents"]] == ["item-05", "item-02", "item-01"]
    assert profile["activity"]["nEvents"] == 2
    assert api.ask("GET", "/v1/users/nobody/profile").status == 404


def test_items_health_and_description(api: Api) -> None:
    assert api.ask("GET", "/v1/items/item-01/similar?numResults=3").json["kind"] == "similar"
    assert api.ask("GET", "/v1/trending?numResults=2").status == 200
    assert api.ask("GET", "/health/live").json == {"status": "live"}
    assert api.ask("GET", "/health/ready").json == {"status": "ready", "modelVersion": "toy"}
    assert api.ask("GET", "/openapi.json").text == Path("docs/openapi.json").read_text()


def test_the_printed_examples_work(api: Api) -> None:
    commands = [shlex.split(line) for line in api.banner.splitlines() if line.startswith("curl")]
    assert len(commands) == 6
    for words in commands:
        url = next(word for word in words if word.startswith("http"))
        body = words[words.index("-d") + 1].encode() if "-d" in words else None
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
        answer = api.ask(method, url.removeprefix(api.base), body)
        assert answer.status in (200, 201, 202), answer.text
        assert not answer.json.get("rejected")


@pytest.mark.parametrize("size", [1_000_001, 9_900_000, 10_100_000])
def test_large_bodies_are_refused(api: Api, size: int) -> None:
    try:
        answer = api.ask("POST", "/v1/events", b'"' + b"x" * size + b'"')
    except OSError:  # the server may close before a body of more than it reads is sent
        assert size > 10_000_000
    else:
        assert (answer.status, answer.headers["Content-Type"], answer.json["code"]) == (413, PROBLEM, "too-large")
    assert api.ask("GET", "/health/live").status == 200


def test_bytes_that_are_no_text_are_a_client_error(api: Api) -> None:
    answer = api.ask("POST", "/v1/recommendations", b"\xff\xfe{}")
    assert (answer.status, answer.json["code"]) == (400, "malformed-json")


def test_concurrent_requests_get_their_own_answers(api: Api) -> None:
    for number in range(4):
        body = {"userId": f"c{number}", "sessionId": "s", "eventList": [event(f"c{number}", f"item-0{number + 1}")]}
        api.ask("POST", "/v1/events", body)
    with ThreadPoolExecutor(8) as threads:
        users = [f"c{number % 4}" for number in range(40)]
        answers = list(threads.map(lambda user: slate(api, userId=user)["asOfEventId"], users))
    assert answers == users


def test_without_open_every_call_needs_an_identity(workspace: Path, tmp_path: Path, start_server: StartServer) -> None:
    shutil.copytree(workspace / DATASET, tmp_path / DATASET)  # one server a data set
    closed = start_server(tmp_path)
    assert "--open" in closed.banner
    assert "OPEN DEVELOPMENT MODE" not in closed.banner
    for method, path in [("POST", "/v1/recommendations"), ("GET", "/v1/users/shopper/profile"), ("POST", "/v1/events")]:
        answer = closed.ask(method, path, {} if method == "POST" else None)
        assert (answer.status, answer.headers["Content-Type"], answer.json["code"]) == (401, PROBLEM, "unauthorized")
    assert closed.ask("GET", "/health/live").status == 200


def test_open_mode_says_so(api: Api) -> None:
    assert "OPEN DEVELOPMENT MODE" in api.banner


def test_without_a_store_the_answer_is_degraded_and_named(
    workspace: Path, tmp_path: Path, start_server: StartServer
) -> None:
    shutil.copytree(workspace / DATASET / "bundles", tmp_path / DATASET / "bundles")
    api = start_server(tmp_path, "--open")
    answer = slate(api, userId="shopper", numResults=5)
    assert answer["degraded"] == ["user_profile", "user_session"]
    assert len(answer["itemList"]) == 5
    refused = api.ask("POST", "/v1/events", {"userId": "u", "sessionId": "s", "eventList": [event("e", "item-01")]})
    assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (503, "unavailable", "5")
    assert api.ask("GET", "/v1/users/shopper/profile").status == 503


def test_without_a_bundle_the_answer_is_503(workspace: Path, tmp_path: Path, start_server: StartServer) -> None:
    api = start_server(tmp_path, "--open")
    assert "no model yet" in api.banner
    answer = api.ask("POST", "/v1/recommendations", {})
    assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (503, "no-model", "5")
    assert str(tmp_path) not in answer.text
    assert api.ask("GET", "/health/ready").status == 503
    assert api.ask("GET", "/health/live").status == 200


def flip_a_byte(bundles: Path) -> None:
    path = max((path for path in (bundles / "toy").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_the_manifest(bundles: Path) -> None:
    (bundles / "toy" / "manifest.json").write_text("{}")


def point_nowhere(bundles: Path) -> None:
    (bundles / "current").write_text("gone\n")


def point_outside(bundles: Path) -> None:
    (bundles / "current").write_text("../toy\n")


@pytest.mark.parametrize("spoil", [flip_a_byte, edit_the_manifest, point_nowhere, point_outside])
def test_a_damaged_model_ends_the_start_with_one_line(workspace: Path, tmp_path: Path, spoil: Any) -> None:
    shutil.copytree(workspace / DATASET / "bundles", tmp_path / DATASET / "bundles")
    spoil(tmp_path / DATASET / "bundles")
    env = {**os.environ, "FUSIONREC_HOME": str(tmp_path), "FUSIONREC_DATASET": DATASET, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "functions.local_server", "--port", "0", "--open"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1, ended.stderr


def test_a_client_that_hangs_up_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    class Slow:
        def call(self, *_: Any) -> Any:
            asked.set()
            hung_up.wait(10)
            return {"statusCode": 200, "multiValueHeaders": {}, "body": "x" * 5_000_000}

    class Watched(Server):
        def shutdown_request(self, request: Any) -> None:
            super().shutdown_request(request)
            done.set()

    asked, hung_up, done = threading.Event(), threading.Event(), threading.Event()
    with Watched(("127.0.0.1", 0), type("Handler", (RequestHandler,), {"gateway": Slow()})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = socket.create_connection(server.server_address[:2])
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert asked.wait(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, at once
        client.close()
        hung_up.set()
        assert done.wait(10)
        server.shutdown()
    assert "Traceback" not in capfd.readouterr().err
