"""The interpreter that the Makefile takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
OVERRIDE = f"FUSIONREC_PYTHON{VERSION.replace('.', '')}"


def find(wanted: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "infra" / "find-python", wanted], env=env, capture_output=True, text=True, check=False
    )


def shim(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_named_interpreter_is_taken() -> None:
    found = find(VERSION, PATH="/usr/bin:/bin", **{OVERRIDE: sys.executable})

    assert (found.returncode, found.stdout.strip()) == (0, sys.executable)


def test_a_named_interpreter_that_does_not_run_is_an_error_not_a_hint() -> None:
    found = find(VERSION, PATH="/usr/bin:/bin", **{OVERRIDE: "/nowhere/python"})

    assert found.returncode == 1
    assert f"{OVERRIDE}=/nowhere/python" in found.stderr


def test_a_shim_that_fails_is_passed_over(tmp_path: Path) -> None:
    """Version managers leave commands on PATH for versions that are not selected."""
    shim(tmp_path, f"python{VERSION}", "echo 'not selected' >&2; exit 127")
    version = tmp_path / "pyenv" / "versions" / f"{VERSION}.1" / "bin"
    version.mkdir(parents=True)
    shim(version, "python", f'exec {sys.executable} "$@"')

    found = find(VERSION, PATH=f"{tmp_path}:/usr/bin:/bin", PYENV_ROOT=str(tmp_path / "pyenv"))

    assert (found.returncode, found.stdout.strip()) == (0, sys.executable)


def test_nothing_fit_is_one_clear_line(tmp_path: Path) -> None:
    found = find("3.1", PATH="/usr/bin:/bin", PYENV_ROOT=str(tmp_path))

    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert "no Python 3.1 found" in found.stderr


@pytest.mark.parametrize("wanted", [f"{VERSION}+", "3.1+"])
def test_a_newer_default_will_do_where_it_may(tmp_path: Path, wanted: str) -> None:
    shim(tmp_path, "python3", f'exec {sys.executable} "$@"')

    found = find(wanted, PATH=f"{tmp_path}:/usr/bin:/bin", PYENV_ROOT=str(tmp_path))

    assert found.returncode == 0
