"""The built artifact under Lambda's Runtime Interface Emulator, on the functions' own Python, without a container."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from infra import artifact as built
from infra import rie

HANDLER = "functions.recommend.app.handler"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.enable_socket]

ExampleEvent = Callable[[str], dict[str, Any]]


def environment(bundles: Path) -> dict[str, str]:
    return {
        "FUSIONREC_STORE": "dynamodb",
        "FUSIONREC_BUNDLE_URI": str(bundles),
        "AWS_ENDPOINT_URL": NOWHERE,
    }


@pytest.fixture(scope="module")
def recommend(artifact: Path, bundles: Path) -> Iterator[rie.LambdaRuntime]:
    with rie.running(artifact, HANDLER, environment(bundles)) as runtime:
        yield runtime


def body(answer: Mapping[str, Any]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(answer["body"])
    return parsed


def test_a_good_request_gets_a_full_slate(
    recommend: rie.LambdaRuntime, example_event: ExampleEvent, version: str
) -> None:
    answer = recommend.invoke(example_event("recommend-session"))

    assert answer["statusCode"] == 200
    slate = body(answer)
    items = [item["itemId"] for item in slate["itemList"]]
    assert len(items) == len(set(items)) == 3
    assert slate["modelVersion"] == version
    assert answer["multiValueHeaders"]["Server-Timing"]


def test_the_slate_follows_what_was_just_looked_at(recommend: rie.LambdaRuntime, example_event: ExampleEvent) -> None:
    def first_item(recent: list[str]) -> str:
        event = example_event("recommend-session")
        event["body"] = json.dumps({"sessionId": "visit-1", "recentItemIds": recent, "numResults": 1})
        return str(body(recommend.invoke(event))["itemList"][0]["itemId"])

    firsts = {first_item([f"item-{index:02d}"] * 3) for index in range(1, 11)}
    assert len(firsts) > 1


def test_a_bad_request_names_each_field(recommend: rie.LambdaRuntime, example_event: ExampleEvent) -> None:
    answer = recommend.invoke(example_event("recommend-bad"))

    assert answer["statusCode"] == 422
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    assert {row["pointer"] for row in body(answer)["errors"]} == {"/numResults", "/colour"}


def test_an_unknown_user_gets_the_cold_start_slate(recommend: rie.LambdaRuntime, example_event: ExampleEvent) -> None:
    """The store is unreachable here, so the answer also says what it lacks."""
    answer = recommend.invoke(example_event("recommend-unknown-user"))

    assert answer["statusCode"] == 200
    slate = body(answer)
    assert len(slate["itemList"]) == 5
    assert set(slate["degraded"]) == {"user_profile", "user_session"}


def test_without_a_bundle_it_is_unavailable_and_says_when_to_come_back(
    artifact: Path, tmp_path: Path, example_event: ExampleEvent
) -> None:
    with rie.running(artifact, HANDLER, environment(tmp_path)) as runtime:
        answer = runtime.invoke(example_event("recommend"))
        ready = runtime.invoke(example_event("health-ready"))

    assert answer["statusCode"] == ready["statusCode"] == 503
    assert answer["multiValueHeaders"]["Retry-After"]
    assert str(tmp_path) not in answer["body"]


def test_the_consumer_asks_for_its_messages_again_while_the_stores_are_away(
    artifact: Path, bundles: Path, example_event: ExampleEvent
) -> None:
    """Neither lost nor given up: the queue delivers them again, and the next start absorbs them."""
    batch = example_event("absorb")
    with rie.running(artifact, "functions.absorb.app.handler", environment(bundles)) as runtime:
        answer = runtime.invoke(batch)
    assert answer == {"batchItemFailures": [{"itemIdentifier": batch["Records"][0]["messageId"]}]}


def test_a_tampered_bundle_is_refused(
    artifact: Path, bundles: Path, tmp_path: Path, example_event: ExampleEvent
) -> None:
    shutil.copytree(bundles, tmp_path, dirs_exist_ok=True)
    popularity = next(tmp_path.glob("*/popularity.npy"))
    content = bytearray(popularity.read_bytes())
    content[-1] ^= 1
    popularity.write_bytes(content)

    with rie.running(artifact, HANDLER, environment(tmp_path)) as runtime:
        assert runtime.invoke(example_event("recommend"))["statusCode"] == 503
        assert "popularity.npy" in runtime.logs()


def test_a_cold_start_is_measured_from_process_to_answer(
    artifact: Path, bundles: Path, example_event: ExampleEvent
) -> None:
    measured = rie.cold_start(artifact, HANDLER, environment(bundles), example_event("recommend-session"))

    assert measured.answer["statusCode"] == 200
    assert 0 < measured.listening_ms < measured.answered_ms
    assert measured.cpu_s > 0


def test_the_artifact_fits_into_a_function(artifact: Path) -> None:
    assert built.size_mb(artifact) < built.LIMIT_MB


def test_the_artifact_carries_no_training_and_no_feature_store_sdk(artifact: Path) -> None:
    for name in ("training", "torch", "pandas", "pyarrow", "scipy", "feast/feature_store.py"):
        assert not (artifact / name).exists(), name


def test_every_module_is_precompiled_for_the_functions_python(artifact: Path) -> None:
    """A module without its .pyc would be compiled anew in every cold start: the folder is read-only there."""
    sources = [path for path in artifact.rglob("*.py") if path.parent.name != "__pycache__"]
    missing = [p for p in sources if not (p.parent / "__pycache__" / f"{p.stem}.cpython-312.pyc").is_file()]
    assert not missing, missing[:5]
