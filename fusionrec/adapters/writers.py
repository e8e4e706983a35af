"""Who writes the live features of a data set on this machine: servers, or one replay alone.

Locally a user has one writer at a time only as long as one process writes; in the cloud the queue and a condition on
each write see to it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusionrec.errors import BadInputError


@contextmanager
def writing(dataset_dir: Path, *, alone: bool) -> Iterator[None]:
    """Held as long as features are written; the system takes it back from a process that is gone.

    raises: BadInputError while another process writes that this one cannot write beside
    """
    if not dataset_dir.is_dir():  # whoever needs it says so better
        yield
        return
    handle = os.open(dataset_dir, os.O_RDONLY)
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        other = "a server or a replay writes" if alone else "a replay writes"
        raise BadInputError(
            f"{other} the live features of {dataset_dir.name}; stop it, or wait until it ends", pointer="--data"
        ) from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)
