"""An installation says how far it is in a few lines, and how it failed."""

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


def calmly(tmp_path: Path, output: list[str], status: int) -> tuple[int, list[str], list[str]]:
    """How it ends when pip says and does this: with which status, lines of progress, and lines on the failure."""
    said = tmp_path / "said"
    said.write_text("\n".join(output) + "\n")
    pip = ["bash", "-c", 'cat "$0" >&2; exit "$1"', str(said), str(status)]
    done = subprocess.run(
        [ROOT / "infra" / "calm-pip", tmp_path / "log", *pip], capture_output=True, text=True, check=False
    )
    assert (tmp_path / "log").read_text() == said.read_text()
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def test_a_long_installation_takes_few_lines(tmp_path: Path) -> None:
    status, lines, failure = calmly(tmp_path, INSTALLED, 0)
    assert (status, failure) == (0, [])
    assert lines == [
        "  25 packages looked at",
        "  50 packages looked at",
        "  WARNING: Retrying (Retry(total=4)) after connection broken",
        "  60 packages looked at; installing what is needed",
    ]


@pytest.mark.parametrize(
    "output", [FAILED, ["python: No module named pip"], ["Traceback (most recent call last):", "OSError: no space"]]
)
def test_a_failure_is_seen_whatever_its_words(tmp_path: Path, output: list[str]) -> None:
    status, _, failure = calmly(tmp_path, output, 7)
    assert status == 7
    assert failure == [f"failed with exit code 7; the end of {tmp_path / 'log'}:", *output]


def test_of_a_long_failure_the_end_is_seen(tmp_path: Path) -> None:
    _, lines, failure = calmly(tmp_path, [*INSTALLED, *FAILED], 1)
    assert len(failure) < 100
    assert failure[-len(FAILED) :] == FAILED
    assert lines[0] == "  25 packages looked at"


def test_what_cannot_be_started_is_a_failure(tmp_path: Path) -> None:
    command = [ROOT / "infra" / "calm-pip", tmp_path / "log", tmp_path / "nowhere" / "python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "No such file" in done.stderr


def dry_run(target: str) -> list[str]:
    """The commands of a target and of what it needs."""
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return shown.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("target", [".venv/.ready", ".venv/.demo"])
def test_both_installations_are_calm(target: str) -> None:
    (install,) = (line for line in dry_run(target) if "pip install" in line)
    assert "infra/calm-pip .venv/install.log" in install
    assert "-qq" not in install


def test_sam_starts_its_own_make_without_the_flags_of_ours() -> None:
    """With -j2 there each function would get a warning of a job server that is out of reach."""
    (build,) = (line for line in dry_run("build") if "infra/sam build" in line)
    assert build == "MAKEFLAGS=--no-print-directory infra/sam build"
