"""The built artifact, toy bundles, a deployed stack; what is missing skips a test and says how to get it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fusionrec.bundle.manifest import read_manifest, write_manifest
from infra import bootstrap, emulator, rie, smoke
from tests.e2e import shoppers
from tests.e2e.deployed import PATIENCE_S, STACK, Deployed, url_of

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".aws-sam" / "build"


@pytest.fixture(scope="session")
def artifact() -> Path:
    folder = BUILT / "RecommendFunction"
    try:
        rie.require_runtime(folder)
    except rie.RuntimeUnavailableError as error:
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="session")
def version() -> str:
    """New in each run: the emulated functions share this machine's /tmp, where an earlier run's bundle may lie."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-toy"


@pytest.fixture(scope="session")
def bundles(toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory, version: str) -> Path:
    """A folder of bundles, as `FUSIONREC_BUNDLE_URI` names it, with one promoted."""
    folder = tmp_path_factory.mktemp("bundles")
    shutil.copytree(toy_bundle, folder / version)
    write_manifest(folder / version, read_manifest(toy_bundle).model_copy(update={"model_version": version}))
    (folder / "current").write_text(f"{version}\n")
    return folder


@pytest.fixture(scope="session")
def example_event() -> Callable[[str], dict[str, Any]]:
    """The events that the runbook gives for `sam local invoke`."""

    def read(name: str) -> dict[str, Any]:
        event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
        return event

    return read


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    given = os.environ.get("FUSIONREC_E2E_ENDPOINT")
    if given:
        yield given
        return
    try:
        with emulator.running() as started:
            yield started
    except rie.RuntimeUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def stack(artifact: Path, endpoint: str, bundles: Path, version: str) -> Iterator[Deployed]:
    """Of one module: each deployment costs minutes, and tests of other modules may run on another worker."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.aws_env(endpoint).items():
            patch.setenv(name, value)
        pool = _user_pool(endpoint)
        parameters = {"TablePrefix": "fusionrec"}
        parameters |= {"UserPoolArn": pool.arn, "ShopperOrigin": shoppers.ORIGIN} if pool else {}
        emulator.deploy(endpoint, STACK, artifact.parent / "template.yaml", parameters)
        outputs = bootstrap.stack_outputs(STACK)
        bootstrap.publish(bundles / version, outputs["BundleUri"])
        key = smoke.api_key(outputs["ApiKeyId"])
        api = smoke.Api(url_of(endpoint, outputs["ApiId"]), key, sign=True, timeout_s=PATIENCE_S)
        yield Deployed(endpoint, outputs, version, api, pool)


def _user_pool(endpoint: str) -> shoppers.UserPool | None:
    try:
        return shoppers.open_pool(endpoint)
    except ClientError:
        if "FUSIONREC_E2E_ENDPOINT" in os.environ:  # LocalStack has Cognito in its paid edition only
            return None
        raise
