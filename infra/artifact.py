"""Make the functions' zip content small and quick to import: what `pip install --target` left is trimmed and compiled.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LIMIT_MB: Final = 250  # Lambda's limit of a zip's unzipped content, in units of 1024²

# Never imported by a function: tests, type stubs, command-line tools, training code and converters.
DROPPED: Final = (
    "bin",
    "training",
    "wrapt-stubs",
    "boto3/examples",
    "numpy/f2py",
    "numpy/_pyinstaller",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
)
DROPPED_PATTERNS: Final = ("**/__pycache__", "**/tests", "**/*.pyi", "**/*.pxd", "**/*.lib", "**/include")
# boto3 reads a service's description when its client is made; the others (28 MB) are never asked for.
AWS_SERVICES: Final = ("dynamodb", "events", "firehose", "s3", "sqs", "sts")


def trim(folder: Path) -> None:
    """Remove what no function imports."""
    for name in DROPPED:
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in DROPPED_PATTERNS:
        for path in list(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    for service in (folder / "botocore" / "data").glob("*/"):
        if service.name not in AWS_SERVICES:
            shutil.rmtree(service)


def listed(path: Path) -> Iterator[str]:
    """Lines of a list file, without comments and blanks."""
    for line in path.read_text().splitlines():
        entry = line.partition("#")[0].strip()
        if entry:
            yield entry


def add_lean_feast(installed: Path, file_list: Path, folder: Path) -> None:
    """Copy Feast's own protobufs and key encoding, without the package's heavy `__init__`.

    installed: a folder that holds the whole `feast` package
    file_list: paths below `feast/`, one a line
    """
    (folder / "feast").mkdir(exist_ok=True)
    (folder / "feast" / "__init__.py").write_text('"""The lean part of Feast: see docs/adr/0002."""\n')
    for name in listed(file_list):
        source, target = installed / "feast" / name, folder / "feast" / name
        if not source.is_file():
            sys.exit(f"{file_list}: {name}: not in this release of feast; mend the list")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        for package in target.relative_to(folder / "feast").parents[:-1]:
            (folder / "feast" / package / "__init__.py").touch()


def precompile(folder: Path, python: str) -> None:
    """Compile for the functions' Python; hash-based and unchecked, so that neither a zip nor a copy makes it stale."""
    command = [python, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", str(folder), "-p", "/var/task", str(folder)], check=True)


def size_mb(folder: Path) -> float:
    """Bytes of all files below, in units of 1024²."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1024**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what pip installed into")
    parser.add_argument("--python", help="python3.12, to compile with; without it nothing is compiled")
    parser.add_argument("--feast", type=Path, help="folder with the whole feast package, to take the lean part from")
    parser.add_argument("--feast-files", type=Path, default=Path("infra/lean_feast.txt"))
    given = parser.parse_args()
    trim(given.folder)
    if given.feast:
        add_lean_feast(given.feast, given.feast_files, given.folder)
    if given.python:
        precompile(given.folder, given.python)
    print(f"{given.folder}: {size_mb(given.folder):.1f} MB")


if __name__ == "__main__":
    main()
