"""The cold start of the built function under Lambda's Runtime Interface Emulator, from process start to the answer."""

from __future__ import annotations

import json
import statistics
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from functions.local_gateway import proxy_event
from fusionrec.feature_spec import USER_PROFILE, USER_SESSION
from infra import rie

HANDLER: Final = "functions.recommend.app.handler"
ARTIFACT: Final = Path(".aws-sam/build/RecommendFunction")
REGION: Final = "eu-central-1"


@contextmanager
def dynamodb() -> Iterator[str]:
    """An endpoint with the two empty tables; moto on a local port stands in for DynamoDB."""
    import botocore.session  # noqa: PLC0415
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        # Servers of one process share their tables: what an earlier one left is cleared.
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=10).close()
        client = botocore.session.get_session().create_client(
            "dynamodb", REGION, endpoint_url=endpoint, aws_access_key_id="none", aws_secret_access_key="none"
        )
        for view in (USER_PROFILE, USER_SESSION):
            client.create_table(
                TableName=f"fusionrec.{view.name}",
                KeySchema=[{"AttributeName": "entity_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "entity_id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        yield endpoint
    finally:
        server.stop()


def cold_starts(bundles: Path, n_starts: int) -> dict[str, Any]:
    """Median of n_starts, and where the time goes. Raises infra.rie.RuntimeUnavailableError."""
    rie.require_runtime(ARTIFACT)
    body = {"userId": "u", "recentItemIds": ["item-01", "item-02"], "numResults": 20}
    headers = {"content-type": "application/json"}
    event = proxy_event("POST", "/v1/recommendations", "", headers, json.dumps(body).encode(), "cold")
    with dynamodb() as endpoint:
        env = {"FUSIONREC_STORE": "dynamodb", "FUSIONREC_BUNDLE_URI": str(bundles), "AWS_ENDPOINT_URL": endpoint}
        starts = [checked(rie.cold_start(ARTIFACT, HANDLER, env, event)) for _ in range(n_starts)]
        shares = import_shares(env, event)
    return {
        "answered_ms": round(statistics.median(start.answered_ms for start in starts)),
        "all_answered_ms": [round(start.answered_ms) for start in starts],
        "cpu_s": round(statistics.median(start.cpu_s for start in starts), 3),
        "memory_mb": round(statistics.median(start.memory_mb for start in starts), 1),
        "first_request_ms": _stages(starts[len(starts) // 2].answer),
        "import_shares": shares,
    }


def import_shares(env: Mapping[str, str], event: Mapping[str, Any]) -> dict[str, float]:
    """The greatest shares of all import time; empty when the emulator gave up, since measuring slows the start."""
    try:
        imports = rie.import_times(ARTIFACT, HANDLER, env, event)
    except urllib.error.HTTPError:
        return {}
    total = sum(imports.values())
    return {name: round(ms / total, 3) for name, ms in list(imports.items())[:12]}


def checked(start: rie.ColdStart) -> rie.ColdStart:
    if start.answer.get("statusCode") != 200 or json.loads(start.answer["body"])["degraded"]:
        raise RuntimeError(f"not a whole answer: {start.answer}")
    return start


def _stages(answer: Mapping[str, Any]) -> dict[str, float]:
    parts = answer["multiValueHeaders"]["Server-Timing"][0].split(", ")
    return {name: float(ms) for name, _, ms in (part.partition(";dur=") for part in parts)}
