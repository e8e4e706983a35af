"""The built consumer in the real runtime, over a store that throttles, refuses, or whose consumer dies mid-batch.

What fails is delivered again, as the queue does; in the end every row equals a sorted replay and nothing is lost.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import botocore.session
import pytest

from benchmarks.feedback_world import history, replayed
from benchmarks.serving_cold import REGION, dynamodb
from fusionrec.adapters import feast_codec
from fusionrec.feature_spec import USER_SESSION
from fusionrec.messages import to_message
from fusionrec.ports import Interaction
from infra import rie

HANDLER = "functions.absorb.app.handler"
THROTTLED = (
    400,
    b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}',
)
BROKEN = (500, b'{"__type":"InternalServerError","message":"injected"}')

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow, pytest.mark.enable_socket]


@contextmanager
def proxy(target: str, fault: Callable[[str], tuple[int, bytes] | None]) -> Iterator[str]:
    """In front of DynamoDB; `fault` sees each operation's name and may answer in its place."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, answer = fault(self.headers.get("x-amz-target", "")) or self.forwarded(body)
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.0")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def forwarded(self, body: bytes) -> tuple[int, bytes]:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            request = urllib.request.Request(target + self.path, body, kept)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def consumer(artifact: Path) -> Path:
    folder = artifact.parent / "AbsorbFunction"
    if not folder.is_dir():
        pytest.skip("nothing is built: run `make build`")
    return folder


def running(folder: Path, endpoint: str) -> Any:
    env = {"FUSIONREC_STORE": "dynamodb", "AWS_ENDPOINT_URL": endpoint}
    return rie.running(folder, HANDLER, env)


def events(n_events: int = 60) -> list[Interaction]:
    """Of users who are logged in: links between sessions have their own table and tests."""
    made = history(Random(5), n_events, 6, anonymous=0.0, linked=0.0)
    return [message for message in made if isinstance(message, Interaction)]


def records(messages: list[Interaction]) -> list[dict[str, Any]]:
    return [
        {
            "messageId": str(place),
            "body": to_message(message),
            "attributes": {"MessageGroupId": message.group, "ApproximateReceiveCount": "1"},
        }
        for place, message in enumerate(messages)
    ]


def deliver(runtime: rie.LambdaRuntime, waiting: list[dict[str, Any]], give_up_after: int = 40) -> int:
    """Batches of ten until all were taken, as the queue would; how many deliveries were asked for again."""
    n_again = 0
    for _ in range(give_up_after * len(waiting)):
        if not waiting:
            return n_again
        batch = waiting[:10]
        answer = runtime.invoke({"Records": batch})
        failed = {row["itemIdentifier"] for row in answer["batchItemFailures"]}
        del waiting[:10]
        waiting += [record for record in batch if record["messageId"] in failed]
        n_again += len(failed)
    raise AssertionError(f"{len(waiting)} messages were never taken")


def check_rows(endpoint: str, messages: list[Interaction]) -> None:
    client = botocore.session.get_session().create_client(
        "dynamodb", REGION, endpoint_url=endpoint, aws_access_key_id="none", aws_secret_access_key="none"
    )
    expected = replayed(list(messages))
    for user_id, row in expected.items():
        key = {"entity_id": {"S": feast_codec.entity_id(USER_SESSION, user_id)}}
        item = client.get_item(TableName="fusionrec.user_session", Key=key)["Item"]
        found = feast_codec.decode_row(USER_SESSION, {name: value["B"] for name, value in item["values"]["M"].items()})
        assert dict(found) == dict(row), user_id
    assert client.scan(TableName="fusionrec.user_session", Select="COUNT")["Count"] == len(expected)


def test_a_throttling_store_loses_nothing(consumer: Path) -> None:
    messages, random = events(), Random(3)
    faults = [0]

    def sometimes(operation: str) -> tuple[int, bytes] | None:
        if random.random() > 0.4:
            return None
        faults[0] += 1
        return random.choice([THROTTLED, BROKEN])

    with dynamodb() as store, proxy(store, sometimes) as endpoint, running(consumer, endpoint) as runtime:
        n_again = deliver(runtime, records(messages[::-1]))  # late ones first, too
        check_rows(store, messages)
    assert faults[0] > 10
    assert n_again > 0


def test_a_store_that_is_unreachable_and_comes_back_loses_nothing(consumer: Path) -> None:
    messages = events(20)
    away = [True]

    def fault(operation: str) -> tuple[int, bytes] | None:
        return BROKEN if away[0] else None

    with dynamodb() as store, proxy(store, fault) as endpoint, running(consumer, endpoint) as runtime:
        batch = records(messages)
        answer = runtime.invoke({"Records": batch[:10]})
        assert {row["itemIdentifier"] for row in answer["batchItemFailures"]} == {str(n) for n in range(10)}
        away[0] = False
        deliver(runtime, batch)
        check_rows(store, messages)


def test_a_consumer_killed_mid_batch_loses_and_doubles_nothing(consumer: Path) -> None:
    """Its second write reaches the store; then the process is gone before it could answer."""
    messages = events(10)
    written, gone = threading.Event(), threading.Event()
    n_writes = [0]

    def hold(operation: str) -> tuple[int, bytes] | None:
        if operation.endswith("PutItem") and not gone.is_set():
            n_writes[0] += 1
            if n_writes[0] == 3:
                written.set()
                gone.wait(30)
                return BROKEN
        return None

    with dynamodb() as store, proxy(store, hold) as endpoint:
        with running(consumer, endpoint) as runtime:

            def invoke() -> None:
                with suppress(OSError, ValueError, json.JSONDecodeError):
                    runtime.invoke({"Records": records(messages)})

            call = threading.Thread(target=invoke, daemon=True)
            call.start()
            assert written.wait(60)
        gone.set()  # the runtime was taken down with the batch half done
        call.join(10)
        with running(consumer, endpoint) as runtime:
            deliver(runtime, records(messages))
        check_rows(store, messages)
