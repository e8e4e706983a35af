"""Data out of wheels: fetched once, checked, never installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fusionrec.bundle.manifest import sha256_of
from fusionrec.errors import DataError
from tests.suites.sources import make_wheel, run
from training.data.sources import completejourney, wheels
from training.data.sources.frame import Defaults, Source


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> wheels.Wheel:
    """A package in a folder that pip is told to look into, and to look nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    meta = "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n"
    path = make_wheel(
        folder / "tiny_data-1.0-py3-none-any.whl",
        {
            "tiny_data/rows.txt": b"rows",
            "tiny_data-1.0.dist-info/METADATA": meta.encode(),
            "tiny_data-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "tiny_data-1.0.dist-info/RECORD": b"",
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return wheels.Wheel("tiny-data", "1.0", path.name, sha256_of(path))


def test_a_wheel_is_downloaded_once_and_read_without_being_installed(
    index: wheels.Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "downloads"
    path = wheels.fetch(index, home)
    assert sha256_of(path) == index.sha256
    assert [p.name for p in home.iterdir()] == [index.file_name]
    with wheels.unpacked(path, ("tiny_data/rows.txt",)) as files:
        assert files["rows.txt"].read_text() == "rows"
    assert not files["rows.txt"].exists()
    monkeypatch.setattr(sys, "executable", "/no/python")  # a second download would fail
    assert wheels.fetch(index, home) == path


def test_other_bytes_than_the_pinned_ones_are_refused(index: wheels.Wheel, tmp_path: Path) -> None:
    other = wheels.Wheel(index.package, index.version, index.file_name, "0" * 64)
    with pytest.raises(DataError, match=r"has sha256 .*, expected 0000"):
        wheels.fetch(other, tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_failed_download_is_one_line(index: wheels.Wheel, tmp_path: Path) -> None:
    missing = wheels.Wheel("tiny-data", "2.0", "tiny_data-2.0-py3-none-any.whl", "0" * 64)
    with pytest.raises(DataError, match=r"`pip download tiny-data==2.0` failed \(.*\); check the network") as error:
        wheels.fetch(missing, tmp_path / "downloads")
    assert "\n" not in str(error.value)


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.whl"
    path.write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match="cannot be unpacked"):
        run(Source("completejourney", Defaults(), lambda _: {}, completejourney.read), tmp_path / "data", path)
