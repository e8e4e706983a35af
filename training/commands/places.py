"""Places that a command writes to, tried before its work begins."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from fusionrec.errors import DataError


def require_writable(folder: Path, pointer: str) -> None:
    """Leaves nothing there. Raises DataError when the folder, or one on the way to it, cannot be written."""
    made: list[Path] = []
    try:
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        if made:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        told = f"{folder} cannot be written ({error.strerror}); choose another folder"
        raise DataError(told, pointer=pointer) from None
    finally:
        for each in made:
            with suppress(OSError):  # never made, or somebody else uses it by now
                each.rmdir()


def require_out(out: Path | None) -> None:
    """The file, or the folder, that `--out` names; None where it was not given. Raises DataError."""
    if out is not None:
        require_writable(out if out.is_dir() else out.parent, "--out")
