"""Trimming and compiling the functions' packages, on a small folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra import artifact


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_no_function_imports_is_removed(tmp_path: Path) -> None:
    kept = {"numpy/__init__.py", "botocore/data/dynamodb/service-2.json.gz", "botocore/data/endpoints.json"}
    kept |= {"numpy/testing/__init__.py", "fusionrec/recommend.py"}
    dropped = {"numpy/tests/test_x.py", "numpy/__init__.pyi", "training/cli.py", "bin/fusionrec"}
    dropped |= {"botocore/data/ec2/service-2.json.gz", "onnxruntime/tools/x.py", "numpy/__pycache__/x.cpython-311.pyc"}
    touch(tmp_path, *kept, *dropped)

    artifact.trim(tmp_path)

    assert names(tmp_path) == kept


def test_only_the_listed_modules_of_feast_come_along(tmp_path: Path) -> None:
    touch(tmp_path, "whole/feast/infra/keys.py", "whole/feast/infra/heavy.py", "whole/feast/__init__.py")
    (tmp_path / "list").write_text("# a comment\n\ninfra/keys.py # why\n")
    (tmp_path / "target").mkdir()

    artifact.add_lean_feast(tmp_path / "whole", tmp_path / "list", tmp_path / "target")

    assert names(tmp_path / "target") == {"feast/__init__.py", "feast/infra/__init__.py", "feast/infra/keys.py"}


def test_a_listed_module_that_feast_no_longer_has_stops_the_build(tmp_path: Path) -> None:
    touch(tmp_path, "feast/__init__.py")
    (tmp_path / "list").write_text("infra/gone.py\n")

    with pytest.raises(SystemExit, match=r"infra/gone\.py"):
        artifact.add_lean_feast(tmp_path, tmp_path / "list", tmp_path)


def test_compiled_code_is_used_whatever_the_file_times(tmp_path: Path) -> None:
    """A zip or a copy changes times; the compiled module must count all the same, and name no place of the build."""
    (tmp_path / "module.py").write_text("VALUE = 1\n")
    artifact.precompile(tmp_path, sys.executable)
    (tmp_path / "module.py").write_text("VALUE = 2\n")

    done = subprocess.run(
        [sys.executable, "-c", "import module; print(module.VALUE)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (compiled,) = tmp_path.glob("__pycache__/*.pyc")

    assert done.stdout.strip() == "1"
    assert b"/var/task/module.py" in compiled.read_bytes()
    assert str(tmp_path).encode() not in compiled.read_bytes()


def test_size_counts_every_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1024**2))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(bytes(512 * 1024))

    assert artifact.size_mb(tmp_path) == pytest.approx(1.5)
