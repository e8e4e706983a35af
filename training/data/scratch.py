"""A folder for what is not whole yet. It goes when its work ends, and if that was killed, when the next work begins.

A lock on the folder, which the system takes back from a process that is gone, tells the abandoned from those in use.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = ".preparing-"


@contextmanager
def scratch_folder(home: Path, name: str) -> Iterator[Path]:
    """A new, empty folder in `home`; those that others abandoned there are removed."""
    home.mkdir(parents=True, exist_ok=True)
    with _opened(home) as door:
        _lock(door, wait=True)  # or another process could take ours, made and not yet locked, for abandoned
        _sweep(home)
        folder = Path(tempfile.mkdtemp(dir=home, prefix=f"{PREFIX}{name}-"))
        held = os.open(folder, os.O_RDONLY)
        _lock(held, wait=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep(home: Path) -> None:
    for folder in home.glob(f"{PREFIX}*"):
        with suppress(OSError), _opened(folder) as left:  # its owner may be done meanwhile, or another user
            if _lock(left, wait=False):
                shutil.rmtree(folder, ignore_errors=True)


def _lock(handle: int, *, wait: bool) -> bool:
    """False: somebody is at work there; or the file system has no locks, and nothing there counts as abandoned."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)
