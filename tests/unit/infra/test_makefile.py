"""An installation says how far it is in a few lines, and all of an error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INSTALLED = [
    "Looking in links: /wheels",
    *(
        line
        for n in range(60)
        for line in (f"Collecting package-{n}==1.0 (from fusionrec)", f"  Downloading package_{n}-1.0.whl (1 kB)")
    ),
    "WARNING: Retrying (Retry(total=4)) after connection broken",
    "Installing collected packages: package-0, package-1",
    "Successfully installed package-0 package-1",
]
FAILED = [
    "Collecting package-0",
    "  error: subprocess-exited-with-error",
    "  │ exit code: 1",
    "ERROR: Could not build package-0",
]


def calmly(tmp_path: Path, output: list[str], status: int) -> tuple[int, list[str]]:
    """What is seen of this output of pip, and with which status the recipe ends."""
    said = tmp_path / "said"
    said.write_text("\n".join(output) + "\n")
    recipe = f"calm:\n\t@set -o pipefail; {{ cat {said}; exit {status}; }} $(CALMLY)"
    done = subprocess.run(
        ["make", "--silent", f"--eval={recipe}", "calm"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.splitlines()


def test_a_long_installation_takes_few_lines(tmp_path: Path) -> None:
    status, lines = calmly(tmp_path, INSTALLED, 0)
    assert status == 0
    assert lines == [
        "  25 packages looked at",
        "  50 packages looked at",
        "  WARNING: Retrying (Retry(total=4)) after connection broken",
        "  60 packages looked at; installing what is needed",
    ]


def test_an_error_is_seen_and_fails_the_recipe(tmp_path: Path) -> None:
    status, lines = calmly(tmp_path, FAILED, 1)
    assert status != 0
    assert lines == FAILED[1:]


@pytest.mark.parametrize("target", [".venv/.ready", ".venv/.demo"])
def test_both_installations_are_calm(target: str) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    installs = [line for line in shown.replace("\\\n", " ").splitlines() if "pip install" in line]
    assert len(installs) == 1
    assert "packages looked at" in installs[0]
    assert "pipefail" in installs[0]
    assert "-qq" not in installs[0]
