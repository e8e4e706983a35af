"""`fusionrec data prepare`: read, clean, sessionise, split, report; all or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import ibis

from fusionrec.bundle.manifest import sha256_of
from fusionrec.errors import DataError
from training.data.dataset import FILE_NAME, Dataset
from training.data.output import OPTIONAL, OUTPUTS, Job, write
from training.data.scratch import scratch_folder
from training.data.sources.frame import Inputs, Raw, Source
from training.data.updates import facts, read_updates
from training.signals import uninterrupted

RECIPE: Final = 7  # raise when cleaning or reading changes, so that prepared data is made anew


@dataclass(frozen=True, slots=True)
class Options:
    """None: the source's default."""

    min_item_users: int | None = None
    min_user_events: int | None = None
    test_days: float | None = None
    validation_days: float | None = None
    force: bool = False


def prepare(
    source: Source, inputs: Inputs, name: str, options: Options, step: Callable[[str], None]
) -> tuple[Dataset, bool]:
    """The data set below `inputs.home`/name, and whether it was there already from the same inputs and options.

    step: told what begins. Raises DataError; then earlier output is untouched.
    """
    step("finding the files")
    files = source.find(inputs)
    folder = inputs.home / name
    updates = read_updates(folder)
    wanted = fingerprint(source, files, options, facts(updates))
    if not options.force and (ready := current(folder, wanted["fingerprint"])):
        return ready, True
    with scratch_folder(inputs.home, name) as scratch:
        con = connect(scratch)
        try:
            step("reading")
            raw = read(source, con, files)
            write(con, Job(raw, name, wanted, scratch, updates.items), step)
        finally:
            con.disconnect()
        step("putting it in place")
        with uninterrupted():
            publish(scratch, folder)
    return Dataset.open(folder), False


def connect(scratch: Path) -> Any:
    """An in-memory DuckDB that spills beside the output and thinks in UTC."""
    con = ibis.duckdb.connect(temp_directory=str(scratch / "spill"))
    con.raw_sql("SET TimeZone = 'UTC'")
    return con


def read(source: Source, con: Any, files: dict[str, Path]) -> Raw:
    """The reader's frame. What the engine says of a damaged file becomes one line."""
    try:
        return source.read(con, files)
    except duckdb.Error as error:
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}", pointer=blamed(files, error)) from None


def fingerprint(
    source: Source, files: dict[str, Path], options: Options, told: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What the result depends on, and its hash. told: of the item log."""
    chosen = {key: value for key, value in asdict(options).items() if key != "force"}
    for key, default in asdict(source.defaults).items():
        chosen[key] = default if chosen[key] is None else chosen[key]
    inputs = [
        {"role": role, "file": path.name, "sha256": sha256_of(path), "n_bytes": path.stat().st_size}
        for role, path in files.items()
    ]
    depends_on = {"source": source.name, "options": chosen, "inputs": inputs, "recipe": RECIPE, **(told or {})}
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
    return depends_on | {"fingerprint": digest}


def current(folder: Path, wanted: str) -> Dataset | None:
    """The prepared data set when it is whole and made from the same inputs and options."""
    try:
        ready = Dataset.open(folder)
    except DataError:
        return None
    whole = all((folder / output).is_file() for output in OUTPUTS)
    same = ready.metadata.get("fingerprint") == wanted
    return ready if whole and same and sha256_of(folder / "events.parquet") == ready.data_hash else None


def blamed(files: dict[str, Path], error: Exception) -> str:
    """The input file that the engine's message names; all of them when it names none."""
    named = [path for path in files.values() if str(path) in str(error)]
    return ", ".join(str(path) for path in named or files.values())


def publish(scratch: Path, folder: Path) -> None:
    """Move the finished files over the earlier ones: dataset.json goes first and comes back last."""
    (folder / "graph").mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).unlink(missing_ok=True)
    for output in OUTPUTS:
        (scratch / output).replace(folder / output)
    for output in OPTIONAL:
        (folder / output).unlink(missing_ok=True)
        if (scratch / output).exists():
            (scratch / output).replace(folder / output)
    (scratch / FILE_NAME).replace(folder / FILE_NAME)
