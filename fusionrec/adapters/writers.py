"""One process at a time writes the live features of a data set on this machine: a server, a replay or a redrive.

Within it a lock gives each user one writer; in the cloud the queue does, and a condition on each write.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import USER_SESSION


@contextmanager
def writing(dataset_dir: Path) -> Iterator[None]:
    """Held as long as features are written; the system takes it back from a process that is gone.

    raises: StoreUnavailableError while another process writes
    """
    if not dataset_dir.is_dir():  # whoever needs it says so better
        yield
        return
    handle = os.open(dataset_dir, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        detail = f"another server, replay or redrive writes those of {dataset_dir.name}; stop it, or wait until it ends"
        raise StoreUnavailableError(USER_SESSION.name, detail) from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)
