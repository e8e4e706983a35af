"""`fusionrec demo` and `fusionrec serve` beyond the server itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fusionrec.adapters.writers import writing
from tests.integration.serving.conftest import DATASET, Api

pytestmark = [pytest.mark.network, pytest.mark.slow]


SLOWLY = """
import time
from functions import local_server
def check_model():
    print("loading", flush=True)
    time.sleep(30)
local_server.check_model = check_model
local_server.main()
"""


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "FUSIONREC_HOME": str(home), "FUSIONREC_DATASET": DATASET, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_demo_shows_a_slate_and_how_an_event_changes_it(api: Api, workspace: Path) -> None:
    event = {"eventId": "d1", "eventType": "purchase", "itemId": "item-01", "sentAt": "2026-11-01T00:00:00Z"}
    api.ask("POST", "/v1/events", {"userId": "visitor", "sessionId": "s", "eventList": [event]})
    done = run(workspace, "functions.demo", "--user", "visitor")
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.split("Recommended next")
    assert "by model toy" in before
    assert "Often bought with oat 1, which you bought on 1 November 2026" in before
    assert "1 event accepted" in before
    assert before.count("ms per stage: model") == after.count("ms per stage: model") == 1
    assert "↑" in after or "↓" in after or "new" in after
    assert '"_aws"' not in done.stdout  # no metrics among what people read


def test_the_demo_of_nobody_is_one_clear_line(workspace: Path) -> None:
    done = run(workspace, "functions.demo", "--user", "nobody")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith("404 nothing is known of user 'nobody'")


def test_serving_an_untrained_data_set_says_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, "training", "serve", "--data", "absent")
    assert done.returncode == 2
    assert "run `fusionrec train --data absent` first" in done.stderr


def test_a_port_in_use_is_one_clear_line(api: Api, workspace: Path) -> None:
    port = api.base.rpartition(":")[2]
    done = run(workspace, "functions.local_server", "--port", port)
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_the_server_starts_leaves_no_traceback(workspace: Path) -> None:
    env = {**os.environ, "FUSIONREC_HOME": str(workspace), "FUSIONREC_DATASET": DATASET}
    command = [sys.executable, "-c", SLOWLY, "--port", "0", "--open"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as starting:
        assert starting.stdout is not None
        assert starting.stdout.readline() == "loading\n"
        starting.send_signal(signal.SIGINT)
        told, complaints = starting.communicate(timeout=60)
    assert (starting.returncode, told, complaints) == (130, "", "")


def test_no_server_starts_beside_a_replay(workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace / DATASET / "bundles", tmp_path / DATASET / "bundles")
    with writing(tmp_path / DATASET):
        done = run(tmp_path, "functions.local_server", "--port", "0", "--open")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: user_session: another server, replay or redrive writes those of")


def test_a_bad_environment_names_the_variable(workspace: Path) -> None:
    env = {**os.environ, "FUSIONREC_HOME": str(workspace), "FUSIONREC_ONNX_THREADS": "many"}
    done = subprocess.run(
        [sys.executable, "-m", "functions.local_server", "--port", "0"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "FUSIONREC_ONNX_THREADS='many'" in done.stderr
    assert "Traceback" not in done.stderr
