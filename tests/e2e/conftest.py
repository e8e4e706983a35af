"""The built artifact, toy bundles, and the tools that run them; what is missing skips a test and says how to get it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra import rie
from training.shop import write_toy_bundle

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
def bundles(tmp_path_factory: pytest.TempPathFactory, version: str) -> Path:
    """A folder of bundles, as `FUSIONREC_BUNDLE_URI` names it, with one promoted."""
    folder = tmp_path_factory.mktemp("bundles")
    write_toy_bundle(folder / version)
    (folder / "current").write_text(f"{version}\n")
    return folder


@pytest.fixture(scope="session")
def example_event() -> Callable[[str], dict[str, Any]]:
    """The events that the runbook gives for `sam local invoke`."""

    def read(name: str) -> dict[str, Any]:
        event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
        return event

    return read
