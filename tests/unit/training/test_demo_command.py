"""`fusionrec demo`: its steps, and what it refuses before them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from training.commands import serve

STEP = """#!/bin/sh
cd "{folder}"
trap 'sleep 1; touch tidied; exit 130' INT
echo $$ > started
sleep 30 & wait
"""


def test_an_interrupted_step_has_time_to_tidy_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C goes to the command and to its step alike."""
    script = tmp_path / "step"
    script.write_text(STEP.format(folder=tmp_path))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))

    def press() -> None:
        while not (tmp_path / "started").exists() or not (tmp_path / "started").read_text():
            time.sleep(0.01)
        os.kill(int((tmp_path / "started").read_text()), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        serve.run_step(["data", "prepare"], {**os.environ})
    assert (tmp_path / "tidied").exists()
