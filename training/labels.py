"""Feedback as labels, as the training reads it: what `fusionrec events labels` wrote, beside the interactions.

A row that was acted on gives its interaction a worth of label · weight (1 / exposure, clipped); a removal's label below
zero counts as none. A row of an item that was on display and not touched is a refusal, weighted by how likely its place
was examined, and goes with the next thing that the user did. Rows of users and items that the data do not hold, and
acts that they lack, are left out: labels add to interactions, they do not stand in for them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.data.dataset import Dataset, read_table
from training.interactions import Feedback, IntArray, Interactions, Vocabulary

LABELS: Final = Path("feedback") / "labels.parquet"
_COLUMNS: Final = ["user_id", "item_id", "shown_at", "acted_at", "label", "exposure", "weight"]


def labels_hash(dataset: Dataset) -> str:
    """sha256 of the labels; "" without."""
    path = dataset.folder / LABELS
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def read_feedback(
    dataset: Dataset, data: Interactions, vocabulary: Vocabulary, user_ids: tuple[str, ...]
) -> Feedback | None:
    """None where there are no labels of these interactions. user_ids: in the order of `offsets`. Raises DataError."""
    if not (dataset.folder / LABELS).is_file():
        return None
    table = read_table(dataset.folder / LABELS).select(_COLUMNS)
    users, items = _codes(table["user_id"], user_ids), _codes(table["item_id"], vocabulary.item_ids) + 1
    known = (users >= 0) & (items > 0)
    table, users, items = table.filter(pa.array(known)), users[known], items[known]
    acted = pc.is_valid(table["acted_at"]).to_numpy(zero_copy_only=False)
    label, exposure, weight = (table[name].to_numpy().astype(np.float32) for name in ("label", "exposure", "weight"))
    worth = np.full(len(data), np.nan, np.float32)
    places = _same(data, users[acted], items[acted], _ms(table["acted_at"])[acted])
    found = places >= 0
    worth[places[found]] = (np.maximum(label, 0.0) * weight)[acted][found]
    refused = _next(data, users[~acted], _ms(table["shown_at"])[~acted])
    inside = refused >= 0
    order = np.argsort(refused[inside], kind="stable")
    feedback = Feedback(worth, refused[inside][order], items[~acted][inside][order], exposure[~acted][inside][order])
    return feedback if found.any() or len(feedback.refused) else None


def _codes(column: pa.ChunkedArray, values: tuple[str, ...]) -> IntArray:
    """Places among the values, -1 = none."""
    found = pc.index_in(column, pa.array(values, pa.string())).fill_null(-1).to_numpy()
    return np.asarray(found, np.int64)


def _ms(column: pa.ChunkedArray) -> IntArray:
    """ms since 1970 UTC, 0 where null."""
    whole = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()).fill_null(0)
    return np.asarray(whole.to_numpy(), np.int64)


def _same(data: Interactions, users: IntArray, items: IntArray, at: IntArray) -> IntArray:
    """The interaction of this user with this item at this moment; -1 = none."""
    held = {key: place for place, key in enumerate(zip(data.users, data.items, data.sent_at, strict=True))}
    return np.array([held.get(key, -1) for key in zip(users, items, at, strict=True)], np.int64)


def _next(data: Interactions, users: IntArray, at: IntArray) -> IntArray:
    """The user's first interaction at or after this moment; -1 = none."""
    places = np.full(len(users), -1, np.int64)
    for row, (user, moment) in enumerate(zip(users.tolist(), at.tolist(), strict=True)):
        start, stop = data.offsets[user], data.offsets[user + 1]
        place = start + np.searchsorted(data.sent_at[start:stop], moment)
        places[row] = place if place < stop else -1
    return places
