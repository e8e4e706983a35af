"""Places that a command writes to, tried before its work begins."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fusionrec.errors import DataError


def require_writable(folder: Path, pointer: str) -> None:
    """Leaves nothing there: what does not exist yet is tried where it would be made, so that commands which start
    together in a new place do not clear it away from each other.

    Raises DataError when the folder, or one on the way to it, cannot be written."""
    try:
        nearest = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        told = f"{folder} cannot be written ({error.strerror}); choose another folder"
        raise DataError(told, pointer=pointer) from None


def require_out(out: Path | None) -> None:
    """The file, or the folder, that `--out` names; None where it was not given. Raises DataError."""
    if out is not None:
        require_writable(out if out.is_dir() else out.parent, "--out")
