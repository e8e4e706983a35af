"""CSV and Parquet files as Ibis tables with line numbers; malformed lines are set aside, not dropped."""

from __future__ import annotations

import csv
import gzip
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from fusionrec.errors import DataError

PARQUET: Final = (".parquet", ".pq")
DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
ESCAPED: Final = re.compile("[\udc80-\udcff]")  # what stands for a byte that is not UTF-8
LINE_BREAK: Final = re.compile("\r\n|\r|\n")
REJECTED: Final = pa.schema(
    [("file", pa.string()), ("line", pa.int64())]
    + [(name, pa.string()) for name in ("rule", "field", "value", "reason")]
)


def read_file(con: Any, name: str, path: Path) -> tuple[Any, Any]:
    """(rows with `line`, rejected lines) as tables of the connection. CSV values are texts, empty ones null.

    `line` is the first line of the record in a CSV file (the header is 1), the row's number, from 1, in a Parquet file.
    Raises DataError; the engine's own error for a damaged Parquet file.
    """
    if path.stat().st_size == 0:
        raise DataError("is empty; the first line should name the columns", pointer=str(path))
    if path.suffix.lower() in PARQUET:
        table = con.read_parquet(path)
        table = con.create_table(name, table.mutate(line=ibis.row_number() + 1), temp=True)
        rejected = REJECTED.empty_table()
    else:
        rows, rejected = read_csv(path)
        table = con.create_table(name, ibis.memtable(rows), temp=True)
    return table, con.create_table(f"{name}_rejected", ibis.memtable(rejected), temp=True)


def read_csv(path: Path) -> tuple[pa.Table, pa.Table]:
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    delimiter = DELIMITERS.get(suffix.lower())
    if delimiter is None:
        raise DataError("is neither .csv, .tsv (also .gz) nor .parquet; rename or convert it", pointer=str(path))
    names = header(path, delimiter)
    malformed: list[pa_csv.InvalidRow] = []

    def set_aside(row: pa_csv.InvalidRow) -> str:
        malformed.append(row)
        return "skip"

    try:
        with _unheard(set_aside):  # of a line that is not UTF-8, Arrow cannot tell it
            table = pa_csv.read_csv(
                path,
                read_options=pa_csv.ReadOptions(use_threads=False),  # invalid rows are numbered only without threads
                parse_options=pa_csv.ParseOptions(
                    delimiter=delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=False,
                    invalid_row_handler=set_aside,
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
                ),
            )
    except (pa.ArrowInvalid, OSError) as error:
        require_utf8(path)
        raise DataError(f"cannot be read ({str(error).splitlines()[0]})", pointer=str(path)) from None
    return numbered(table, malformed, path.name)


@contextmanager
def _unheard(callback: Callable[..., Any]) -> Iterator[None]:
    """What goes wrong in this callback is not printed; the error that follows from it is raised."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda told: None if told.object is callback else hook(told)
    try:
        yield
    finally:
        sys.unraisablehook = hook


def numbered(table: pa.Table, malformed: Sequence[pa_csv.InvalidRow], file: str) -> tuple[pa.Table, pa.Table]:
    """Rows with their line numbers, and the malformed and blank lines as rows of the quarantine.

    The reader counts records; a quoted value may hold line breaks, and then a record takes several lines of the file.
    """
    n_records = table.num_rows + len(malformed)
    bad = np.array([row.number - 2 for row in malformed], np.int64)  # to the reader the header is record 1
    good = np.setdiff1d(np.arange(n_records), bad)
    n_lines = np.ones(n_records, np.int64)
    n_lines[good] += _breaks_within(table)
    n_lines[bad] = [_n_lines(row.text) for row in malformed]
    lines = 1 + sum(_n_lines(name) - 1 for name in table.column_names) + np.cumsum(n_lines) - n_lines + 1
    n_values = sum(np.asarray(column.is_valid()).astype(int) for column in table.columns)
    blank = np.asarray(n_values == 0)
    rejected = [
        {
            "line": int(line),
            "value": row.text,
            "reason": f"{row.actual_columns} values for {row.expected_columns} columns{_unclosed(row.text)}",
        }
        for line, row in zip(lines[bad], malformed, strict=True)
    ] + [{"line": int(line), "value": "", "reason": "a blank line"} for line in lines[good][blank]]
    rows = [{"file": file, "rule": "malformed-line", "field": "", **row} for row in rejected]
    kept = table.append_column("line", pa.array(lines[good])).filter(pa.array(~blank))
    return kept, pa.Table.from_pylist(rows, schema=REJECTED)


def _breaks_within(table: pa.Table) -> npt.NDArray[np.int64]:
    """int64 (rows,): how many line breaks the values of each row hold."""
    found = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        for text, each in (("\n", 1), ("\r", 1), ("\r\n", -1)):  # three plain searches are faster than one pattern
            found += each * pc.fill_null(pc.count_substring(column, text), 0).to_numpy()
    return found


def _n_lines(text: str) -> int:
    return 1 + len(LINE_BREAK.findall(text.rstrip("\r\n")))


def _unclosed(text: str) -> str:
    """A quote that nobody closed takes the lines after it for its own, good ones too: all of them are told."""
    n_lines = _n_lines(text)
    return "" if n_lines < 2 else f" in {n_lines} lines, which a quote holds together; close it, or double it"


def header(path: Path, delimiter: str) -> list[str]:
    """The names in the first line. Raises DataError when it is blank, is not text or names a column twice."""
    try:
        with opener(path)(path, "rt", encoding="utf-8-sig") as file:
            names = next(csv.reader(file, delimiter=delimiter), [])
    except UnicodeDecodeError:
        require_utf8(path)
        raise
    except (OSError, EOFError, csv.Error) as error:
        raise DataError(f"cannot be read ({error})", pointer=str(path)) from None
    if not "".join(names).strip():
        raise DataError("the first line is blank; it should name the columns", pointer=f"{path}:1")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"names {', '.join(twice)} twice", pointer=f"{path}:1")
    return names


def require_utf8(path: Path) -> None:
    """Reads the file until a line is not UTF-8. Raises DataError that names it; the file's own errors are not told."""
    with suppress(OSError, EOFError), opener(path)(path, "rt", encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, start=1):
            if found := ESCAPED.search(line):
                told = f"is not UTF-8 text (byte {ord(found[0]) - 0xDC00:#04x}); save it as UTF-8"
                raise DataError(told, pointer=f"{path}:{number}")


def opener(path: Path) -> Callable[..., IO[Any]]:
    return gzip.open if path.suffix.lower() == ".gz" else open


def require(table: Any, names: Sequence[str], path: Path) -> None:
    """Raises DataError that names the missing columns, the file, and what was found."""
    found = [name for name in table.columns if name != "line"]
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"lacks the column {', '.join(missing)}; found {', '.join(found)}", pointer=f"{path}:1")


def rejected_rows(rows: Any, file: str, rule: str, field: str, reason: str) -> Any:
    """Rows as lines for the quarantine."""
    value = rows[field].cast("string") if field else ibis.literal(None, type="string")
    texts = {"file": file, "line": rows.line, "rule": rule, "field": field, "value": value, "reason": reason}
    return rows.select(
        **{name: text if isinstance(text, ibis.Expr) else ibis.literal(text) for name, text in texts.items()}
    )
