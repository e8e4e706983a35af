"""A data set that is not there is told before the seconds that torch takes to import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMMANDS = (
    "train",
    "evaluate",
    "update",
    "ablate",
    "search --part ease",
    "score",
    "features sync",
    "serve",
    "models list",
)
HEAVY = ("torch", "optuna", "pandas", "duckdb", "ibis", "onnxruntime")
IN_ONE_PROCESS = """
import sys
from training import cli
heavy, *commands = sys.argv[1:]
for command in commands:
    sys.argv = ["fusionrec", *command.split(), "--data", "nowhere"]
    try:
        cli.main()
    except SystemExit as exited:
        print(command, exited.code, *(name for name in heavy.split(",") if name in sys.modules), sep=": ")
"""


def test_a_data_set_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS, ",".join(HEAVY), *COMMANDS],
        cwd=ROOT, env={**os.environ, "FUSIONREC_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{command}: 2" for command in COMMANDS], done.stderr
    assert done.stderr.count("\n") == len(COMMANDS), done.stderr
