"""Whatever ends a preparation, nothing is left over for good, and what was finished stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.data import output, scratch
from training.data.dataset import Dataset
from training.data.prepare import current

Shop = Any
WORK = """
import sys, time
from pathlib import Path
from training.data.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), "shop") as folder:
    (folder / "half").write_text("done")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_preparation_left_goes_with_the_next_one(shop: Shop) -> None:
    with subprocess.Popen([sys.executable, "-c", WORK, str(shop.home)], stdout=subprocess.PIPE, text=True) as work:
        assert work.stdout is not None
        left = Path(work.stdout.readline().strip())
        shop.prepare(shop.events(), name="other")
        assert (left / "half").exists()  # the owner is at work
        work.kill()
    assert left.parent == shop.home
    assert (left / "half").exists()
    shop.prepare(shop.events())
    assert sorted(path.name for path in shop.home.iterdir()) == ["other", "shop"]


def test_what_is_not_ours_stays(shop: Shop) -> None:
    (shop.home / ".shop-backup").mkdir(parents=True)
    shop.prepare(shop.events())
    assert (shop.home / ".shop-backup").is_dir()


def test_ctrl_c_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(output, "write_tables", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shop.prepare(shop.events())
    assert list(shop.home.iterdir()) == []


def test_ctrl_c_while_files_are_put_in_place_waits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the new files beside half of the old ones would be neither data set."""
    shop.prepare(shop.events())
    plain = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "items.parquet":
            os.kill(os.getpid(), signal.SIGINT)
        return plain(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shop.prepare(shop.events("u1,i1,view,2026-03-06T10:00:00Z,,,,"))
    ready = Dataset.open(shop.home / "shop")
    assert ready.counts["n_events"] == 61
    assert current(ready.folder, ready.metadata["fingerprint"])
    assert [path.name for path in shop.home.iterdir()] == ["shop"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_locks_nothing_counts_as_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(scratch.fcntl, "flock", unsupported)
    other = tmp_path / f"{scratch.PREFIX}other-1"
    other.mkdir()
    with scratch.scratch_folder(tmp_path, "shop") as folder:
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == [other]
