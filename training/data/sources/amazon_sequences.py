"""Files of one user a line, items oldest first, as S3-Rec (Zhou et al. 2020, arXiv:2008.07873) and its heirs use.

They have no times. Each user's last event gets splits.LAST_EVENT, the one before it a day less, and so on: the order
within a user is kept, and cut-offs by time become leave-one-out (test: everyone's last event; validation: the one
before).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from fusionrec.errors import DataError
from training.data.dataset import made_up_name
from training.data.sources.frame import ITEM_TEXTS, Defaults, Inputs, Raw, Source, complete
from training.data.splits import LAST_EVENT


def find(inputs: Inputs) -> dict[str, Path]:
    """The sequence file and, beside it, the companions that exist."""
    if inputs.path is None:
        raise DataError("give --path, a folder or a file with one user a line", pointer="--path")
    if not inputs.path.exists():
        raise DataError("is not there; give a folder or a file with one user a line", pointer=str(inputs.path))
    sequences = inputs.path if inputs.path.is_file() else only_text_file(inputs.path)
    folder = sequences.parent
    companions = {
        "attributes": folder / f"{sequences.stem}_item2attributes.json",
        "texts": folder / "items.tsv",
        "maps": folder / "datamaps.json",
    }
    return {"sequences": sequences} | {role: path for role, path in companions.items() if path.is_file()}


def only_text_file(folder: Path) -> Path:
    found = sorted(folder.glob("*.txt"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"expected one *.txt file, found {names}; give the file itself", pointer=str(folder))
    return found[0]


def read(con: Any, files: dict[str, Path]) -> Raw:
    lines = con.create_table("sequence_lines", ibis.memtable(sequence_table(files["sequences"])), temp=True)
    no_items = lines.item_id.isnull()
    return Raw(
        events=complete(
            lines,
            file=files["sequences"].name,
            event_type="purchase",
            event_value=1.0,
            flaw_rule=ibis.cases((no_items, "no-items")),
            flaw_field=ibis.cases((no_items, "items")),
            flaw_value=ibis.cases((no_items, lines.user_id)),
            flaw_reason=ibis.cases((no_items, "a user without items")),
        ),
        items=con.create_table("sequence_items", ibis.memtable(catalogue(files)), temp=True),
        users=lines.select("user_id").distinct().mutate(attributes=ibis.literal([], type="array<string>")),
        has_times=False,
        catalogue_order=catalogue_order(files),
        notes=("sent_at is made up: one day between neighbours, everyone's last event at the same moment",),
    )


def sequence_table(path: Path) -> pa.Table:
    """line, user_id, item_id (null for a user without items), position, sent_at: one row an interaction."""
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text ({error.reason} at byte {error.start})", pointer=str(path)) from None
    tokens = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pa.array(texts, pa.string())))
    sizes = np.asarray(pc.list_value_length(tokens))
    numbers = np.repeat(np.arange(1, len(texts) + 1), sizes)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    positions = np.arange(sizes.sum()) - starts - 1  # -1 is the user itself
    flat = pc.list_flatten(tokens)
    users = flat.take(pa.array(starts))
    lonely = (positions == -1) & (np.repeat(sizes, sizes) == 1)
    from_last = np.repeat(sizes, sizes) - 2 - positions
    table = pa.table(
        {
            "line": numbers,
            "user_id": users,
            "item_id": pc.if_else(pa.array(lonely), pa.scalar(None, pa.string()), flat),
            "position": positions,
            "sent_at": pa.array(np.datetime64(LAST_EVENT, "us") - from_last * np.timedelta64(1, "D")),
        }
    )
    return table.filter(pa.array((positions >= 0) | lonely))


def catalogue(files: dict[str, Path]) -> pa.Table:
    """Names from items.tsv (the id stands in for a missing one), attributes by name where datamaps.json has names."""
    texts = item_texts(files["texts"]) if "texts" in files else {}
    names = load_object(files["maps"]).get("id2attribute", {}) if "maps" in files else {}
    attributes = load_object(files["attributes"]) if "attributes" in files else {}
    rows = []
    for item in {**texts, **attributes}:
        text = texts.get(item, "")
        labels = [str(names.get(str(code), code)) for code in attributes.get(item, [])]
        rows.append(
            dict.fromkeys(ITEM_TEXTS, "")
            | {
                "item_id": item,
                "name": text.title() or made_up_name(item),
                "description": text,
                "attributes": [f"attribute={label}" for label in labels],
            }
        )
    types = [(name, pa.string()) for name in ITEM_TEXTS] + [("attributes", pa.list_(pa.string()))]
    return pa.Table.from_pylist(rows, schema=pa.schema(types))


def catalogue_order(files: dict[str, Path]) -> pa.Table | None:
    """item_id by the shop's own id (`id2item` of datamaps.json): items of one day stand in this order in a history."""
    own = load_object(files["maps"]).get("id2item", {}) if "maps" in files else {}
    return pa.table({"item_id": pa.array(sorted(own, key=lambda item: str(own[item])), pa.string())}) if own else None


def item_texts(path: Path) -> dict[str, str]:
    """item_id → short_text. Raises DataError."""
    try:
        table = pa_csv.read_csv(
            path,
            parse_options=pa_csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pa_csv.ConvertOptions(column_types={"item_id": pa.string(), "short_text": pa.string()}),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"cannot be read ({str(error).splitlines()[0]})", pointer=str(path)) from None
    missing = {"item_id", "short_text"} - set(table.column_names)
    if missing:
        raise DataError(f"lacks {', '.join(sorted(missing))}; found {', '.join(table.column_names)}", pointer=str(path))
    return dict(
        zip(table["item_id"].to_pylist(), (text or "" for text in table["short_text"].to_pylist()), strict=True)
    )


def load_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"is not JSON ({error})", pointer=str(path)) from None
    if not isinstance(value, dict):
        raise DataError(f"holds a {type(value).__name__}, expected an object", pointer=str(path))
    return value


SOURCE: Final = Source("amazon-sequences", Defaults(), find, read)
