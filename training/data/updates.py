"""What shops told of items through the API, taken over into the prepared catalogue.

The item log of a data set lies in its folder, `items/`; from the cloud it is copied there as it is. Attributes are
taken over; price and availability stay with the log, since features take the price from purchases, and a bundle knows
no stock.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fusionrec.adapters.item_objects import FolderObjects
from fusionrec.item_log import ATTRIBUTES, Item, ItemLog
from training.data.dataset import ITEMS_SCHEMA

FOLDER: Final = "items"
THROUGH: Final = "items_through"  # in dataset.json: the last update that the prepared items hold
LOG: Final = "items_log"  # and the sha256 of that update, since logs of two places count alike


def read_updates(folder: Path) -> ItemLog:
    """The whole log of a data set, by its updates alone; empty where there is none. Raises StoreUnavailableError."""
    log = ItemLog(FolderObjects(folder / FOLDER), from_snapshot=False)
    log.catch_up(inf)
    return log


def facts(log: ItemLog) -> dict[str, Any]:
    """What dataset.json says of the log that was taken over; nothing without one. Raises StoreUnavailableError."""
    return {THROUGH: log.through, LOG: log.digest(log.through)} if log.through else {}


def held(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a bundle says of it in turn, by the names of `BundleParts`, from dataset.json."""
    return {"items_through": int(metadata.get(THROUGH, 0)), "items_log": str(metadata.get(LOG, ""))}


def with_updates(items: pa.Table, updates: Mapping[str, Item], *, add: bool) -> pa.Table:
    """The items, of ITEMS_SCHEMA and sorted by id, after the updates. add: also those that the source did not list."""
    rows: dict[str, dict[str, Any]] = {row["item_id"]: row for row in items.to_pylist()}
    unknown: dict[str, Any] = {name: [] if name == "attributes" else "" for name in ATTRIBUTES}
    for item_id, item in updates.items():
        told = {name: stamped.value for name, stamped in item.items() if name in ATTRIBUTES}
        if told and (add or item_id in rows):
            rows[item_id] = {"item_id": item_id, **unknown, **rows.get(item_id, {}), **told}
    return pa.Table.from_pylist([rows[item_id] for item_id in sorted(rows)], schema=ITEMS_SCHEMA)
