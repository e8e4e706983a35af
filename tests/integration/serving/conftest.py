"""A workspace as the command line leaves it, and servers over it in their own processes."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.suites.feature_readers import PROFILE
from tests.suites.serving import NOW, NOW_MS

DATASET = "toy"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Api:
    """A server's address, and what it printed before it began to listen."""

    base: str
    banner: str

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base + path, data=data, method=method, headers={"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read().decode())


@pytest.fixture(scope="session")
def workspace(toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data set with a model, and a Feast store that knows user `shopper` from before."""
    from feast import FeatureStore  # noqa: PLC0415

    from fusionrec.adapters.feast_local import local_config  # noqa: PLC0415

    home = tmp_path_factory.mktemp("workspace")
    folder = home / DATASET
    shutil.copytree(toy_bundle, folder / "bundles" / "toy")
    (folder / "bundles" / "current").write_text("toy\n")
    (folder / "dataset.json").write_text(json.dumps({"cutoffs": {"data_end": NOW.isoformat()}}))
    (folder / "feast").mkdir()
    store = FeatureStore(config=local_config(folder))
    made = runpy.run_path("feature_repo/definitions.py")
    store.apply([made["user_entity"], made["user_profile"], made["user_session"]])
    row = {
        **PROFILE,
        "history_item_ids": ["item-01", "item-02"],
        "history_event_types": ["purchase", "purchase"],
        "history_sent_at": [NOW_MS - 2_000_000, NOW_MS - 1_000_000],
        "first_event_at": NOW_MS - 2_000_000,
        "last_event_at": NOW_MS - 1_000_000,
        "n_events": 2,
    }
    columns = {name: [value] for name, value in row.items()}
    store.write_to_online_store("user_profile", inputs={"user_id": ["shopper"], "event_timestamp": [NOW], **columns})
    return home


StartServer = Callable[..., Api]


@pytest.fixture(scope="session")
def start_server() -> Iterator[StartServer]:
    processes: list[subprocess.Popen[str]] = []

    def start(home: Path, *arguments: str) -> Api:
        process = subprocess.Popen(
            [sys.executable, "-m", "functions.local_server", "--port", "0", "--user", "shopper", *arguments],
            env={**os.environ, "FUSIONREC_HOME": str(home), "FUSIONREC_DATASET": DATASET, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            listening = re.search(r"listening on (http://\S+)", line)
            if listening:
                return Api(listening[1], "".join(lines))
        raise AssertionError(f"the server ended with {process.wait()}: {''.join(lines)}")

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def api(workspace: Path, start_server: StartServer) -> Api:
    """In open development mode, with everything there."""
    return start_server(workspace, "--open")
