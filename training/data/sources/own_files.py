"""The shop's own files, CSV or Parquet, with the column names of the HTTP API (docs/data.md)."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import ibis

from fusionrec.errors import DataError
from training.data.rules import UNFIT, UNFIT_USER, blank, unfit, unfit_user
from training.data.sources.frame import ITEM_TEXTS, Defaults, Inputs, Raw, Source, complete
from training.data.sources.tabular import read_file, rejected_rows, require

EVENT_NAMES: Final = {
    "userId": "user_id",
    "itemId": "item_id",
    "eventType": "event_type",
    "sentAt": "sent_at",
    "eventValue": "event_value",
    "sessionId": "session_id",
    "priceCents": "price_cents",
    "discountCents": "discount_cents",
}
REQUIRED_EVENT_NAMES: Final = ("userId", "itemId", "eventType", "sentAt")
ITEM_NAMES: Final = {"itemId": "item_id"} | {name: name for name in ITEM_TEXTS if name != "item_id"}
EPOCH_S: Final = r"^\d{9,10}$"
EPOCH_MS: Final = r"^\d{12,13}$"
WHOLE: Final = r"^[+-]?\d{1,18}$"


def find(inputs: Inputs) -> dict[str, Path]:
    if inputs.events is None:
        raise DataError(f"give a CSV or Parquet file with the columns {', '.join(EVENT_NAMES)}", pointer="--events")
    given = {"events": inputs.events, "items": inputs.items, "users": inputs.users}
    files = {role: path for role, path in given.items() if path is not None}
    for path in files.values():
        if not path.is_file():
            what = "is a folder; give a file" if path.is_dir() else "is not there; check the path"
            raise DataError(what, pointer=str(path))
    return files


def read(con: Any, files: dict[str, Path]) -> Raw:
    lines, malformed = read_file(con, "own_events", files["events"])
    require(lines, REQUIRED_EVENT_NAMES, files["events"])
    items, bad_items = entity_table(con, "own_items", files.get("items"), "itemId")
    users, bad_users = entity_table(con, "own_users", files.get("users"), "userId")
    ignored = sorted(set(lines.columns) - set(EVENT_NAMES) - {"line"})
    told = ", ".join(_with_guess(name, set(EVENT_NAMES) - set(lines.columns)) for name in ignored)
    return Raw(
        events=con.create_table("own_frame", parsed(lines, files["events"].name), temp=True),
        items=catalogue(items),
        users=people(users),
        rejected=ibis.union(malformed, bad_items, bad_users),
        cautions=(f"ignored columns of {files['events'].name}: {told}",) if ignored else (),
        columns={column: name for name, column in EVENT_NAMES.items()},
    )


def _with_guess(name: str, missing: set[str]) -> str:
    """A column that nothing reads, and the missing one that it may stand for.

    >>> _with_guess("pricecents", {"priceCents", "sessionId"}), _with_guess("channel", {"priceCents"})
    ('pricecents (did you mean priceCents?)', 'channel')
    """
    folded = {known.lower(): known for known in sorted(missing)}
    alike = get_close_matches(name.lower().replace("_", ""), folded, n=1, cutoff=0.8)
    return f"{name} (did you mean {folded[alike[0]]}?)" if alike else name


def parsed(lines: Any, file: str) -> Any:
    """Texts become values; a text that does not is a flaw, named with its column."""
    texts = {name: text_of(lines, name) for name in EVENT_NAMES}
    values = {
        "sentAt": moment(texts["sentAt"]),
        "eventValue": texts["eventValue"].try_cast("float64"),
        "priceCents": ibis.ifelse(texts["priceCents"].re_search(WHOLE), texts["priceCents"].try_cast("int64"), None),
        "discountCents": ibis.ifelse(
            texts["discountCents"].re_search(WHOLE), texts["discountCents"].try_cast("int64"), None
        ),
    }
    wants = {
        "sentAt": "not a time: write ISO 8601 (2026-05-01T10:00:00Z), or seconds or milliseconds since 1970",
        "eventValue": "not a number",
        "priceCents": "not a whole number of cents",
        "discountCents": "not a whole number of cents",
    }
    flawed = {name: texts[name].notnull() & value.isnull() for name, value in values.items()}
    return complete(
        lines,
        file=ibis.literal(file),
        **{EVENT_NAMES[name]: values.get(name, texts[name]) for name in EVENT_NAMES},
        flaw_rule=ibis.cases(*[(flawed[name], "unreadable-value") for name in values]),
        flaw_field=ibis.cases(*[(flawed[name], name) for name in values]),
        flaw_value=ibis.cases(*[(flawed[name], texts[name]) for name in values]),
        flaw_reason=ibis.cases(*[(flawed[name], wants[name]) for name in values]),
    )


def text_of(lines: Any, name: str) -> Any:
    """Trimmed text, null when empty or when the column is not there; times of Parquet files keep their microseconds."""
    if name not in lines.columns:
        return ibis.literal(None, type="string")
    return lines[name].cast("string").strip().nullif("")


def moment(text: Any) -> Any:
    """UTC without a zone; a time without an offset is taken as UTC."""
    return ibis.cases(
        (text.re_search(EPOCH_S), text.try_cast("int64").as_timestamp("s").cast("timestamp(6)")),
        (text.re_search(EPOCH_MS), text.try_cast("int64").as_timestamp("ms").cast("timestamp(6)")),
        else_=text.try_cast("timestamp('UTC', 6)").cast("timestamp(6)"),
    )


def entity_table(con: Any, name: str, path: Path | None, key: str) -> tuple[Any, Any]:
    """The file's rows (the first of each key) and the rejected ones; both empty without a file."""
    if path is None:
        empty = con.create_table(name, schema={key: "string", "line": "int64"}, temp=True)
        return empty, rejected_rows(empty, "", "", "", "")
    lines, malformed = read_file(con, name, path)
    require(lines, (key,), path)
    lines = lines.mutate(**{key: text_of(lines, key)})
    nameless = lines.filter(blank(lines[key]))
    is_unfit, reason = (unfit_user, UNFIT_USER) if key == "userId" else (unfit, UNFIT)
    refused = lines.filter(is_unfit(lines[key]))
    known = lines.filter(~blank(lines[key]) & ~is_unfit(lines[key]))
    known = known.mutate(repeat=ibis.row_number().over(ibis.window(group_by=key, order_by="line")))
    repeats = known.filter(known.repeat > 0)
    rejected = ibis.union(
        malformed,
        rejected_rows(nameless, path.name, f"missing-{key}", key, "there is no id"),
        rejected_rows(refused, path.name, f"unfit-{key}", key, reason),
        rejected_rows(repeats, path.name, f"repeated-{key}", key, "this id came before; the first row counts"),
    )
    return known.filter(known.repeat == 0).drop("repeat"), rejected


def catalogue(items: Any) -> Any:
    """Texts by name; every further column is an attribute."""
    texts = {column: text_of(items, name).fill_null("") for name, column in ITEM_NAMES.items()}
    texts["name"] = ibis.ifelse(texts["name"] == "", ibis.literal("Item ") + texts["item_id"], texts["name"])
    return items.select(**texts, attributes=pairs(items, set(ITEM_NAMES) | {"line"}))


def people(users: Any) -> Any:
    return users.select(user_id=text_of(users, "userId"), attributes=pairs(users, {"userId", "line"}))


def pairs(table: Any, known: set[str]) -> Any:
    """`column=value` of every column that is not known, empty values left out."""
    others = [name for name in table.columns if name not in known]
    if not others:
        return ibis.literal([], type="array<string>")
    return ibis.array([ibis.literal(f"{name}=") + text_of(table, name) for name in others]).filter(
        lambda pair: pair.notnull()
    )


SOURCE: Final = Source("csv", Defaults(), find, read)
