"""Whatever ends a preparation, nothing is left over for good, and what was finished stays."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from training.data import output, scratch
from training.data.dataset import Dataset
from training.data.prepare import current
from training.signals import leaving_at_sigterm

Shop = Any
WORK = """
import sys, time
from pathlib import Path
from training.data.scratch import scratch_folder
print("ready", flush=True)
with scratch_folder(Path(sys.argv[1]), "shop") as folder:
    (folder / "half").write_text("done")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_preparation_left_goes_with_the_next_one(shop: Shop) -> None:
    with subprocess.Popen([sys.executable, "-c", WORK, str(shop.home)], stdout=subprocess.PIPE, text=True) as work:
        assert work.stdout is not None
        assert work.stdout.readline() == "ready\n"
        left = Path(work.stdout.readline().strip())
        shop.prepare(shop.events(), name="other")
        assert (left / "half").exists()  # the owner is at work
        work.kill()
    assert left.parent == shop.home
    assert (left / "half").exists()
    shop.prepare(shop.events())
    assert sorted(path.name for path in shop.home.iterdir()) == ["other", "shop"]


def test_a_folder_is_made_behind_the_homes_lock(tmp_path: Path) -> None:
    """Or another process could sweep it away between its making and its own lock."""
    door = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(door, fcntl.LOCK_EX)
    with subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path)], stdout=subprocess.PIPE, text=True) as work:
        assert work.stdout is not None
        assert work.stdout.readline() == "ready\n"
        time.sleep(0.5)
        made_before = list(tmp_path.iterdir())
        os.close(door)
        made = Path(work.stdout.readline().strip())
        work.kill()
    assert made_before == []
    assert made.parent == tmp_path


def test_anothers_folder_that_may_not_be_opened_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / f"{scratch.PREFIX}other-1"
    other.mkdir()
    plain = os.open

    def guarded(path: Any, *how: Any, **more: Any) -> int:
        if Path(path) == other:
            raise PermissionError(13, "Permission denied")
        return plain(path, *how, **more)

    monkeypatch.setattr(os, "open", guarded)
    with scratch.scratch_folder(tmp_path, "shop") as folder:
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == [other]


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


@pytest.mark.parametrize(("number", "end"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_what_ends_it_waits_while_files_are_put_in_place(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, end: type[BaseException]
) -> None:
    """Half of the new files beside half of the old ones would be neither data set."""
    shop.prepare(shop.events())
    plain = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "items.parquet":
            os.kill(os.getpid(), number)
        return plain(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with leaving_at_sigterm(), pytest.raises(end):
        shop.prepare(shop.events("u1,i1,view,2026-03-06T10:00:00Z,,,,"))
    ready = Dataset.open(shop.home / "shop")
    assert ready.counts["n_events"] == 61
    assert current(ready.folder, ready.metadata["fingerprint"])
    assert [path.name for path in shop.home.iterdir()] == ["shop"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_without_locks_nothing_counts_as_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(scratch.fcntl, "flock", unsupported)
    other = tmp_path / f"{scratch.PREFIX}other-1"
    other.mkdir()
    with scratch.scratch_folder(tmp_path, "shop") as folder:
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == [other]
