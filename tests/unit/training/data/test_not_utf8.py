"""The line that is not UTF-8 is named, wherever it stands and whatever else is wrong with it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fusionrec.errors import DataError
from training.data.sources.tabular import read_csv

HEADER = b"userId,itemId,eventType,sentAt"
GOOD = b"u1,i1,view,2026-03-01T10:00:00Z"
LATE = 20_000  # lines: past the block that a reader decodes to find the header


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz"])
@pytest.mark.parametrize("n_before", [0, LATE])
@pytest.mark.parametrize("line_break", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("rest", [b"", b",one,too,many"])
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_the_line_is_named(tmp_path: Path, name: str, n_before: int, line_break: bytes, rest: bytes) -> None:
    lines = [HEADER, *[GOOD] * n_before, b"caf\xe91" + GOOD[2:] + rest, GOOD, b""]
    content = line_break.join(lines)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    with pytest.raises(DataError, match=r"is not UTF-8 text \(byte 0xe9\); save it as UTF-8") as refused:
        read_csv(path)
    assert refused.value.pointer == f"{path}:{n_before + 2}"
