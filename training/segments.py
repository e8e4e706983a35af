"""Cuts of the test requests: by how long the history is, and by how well known the wanted item is.

A request with several relevant items belongs to every target segment that one of them is in, with those items only:
what else it was after neither helps nor counts against it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.interactions import Interactions, Requests

IntArray = npt.NDArray[np.int64]

HISTORY_BANDS: Final = (("none", 0, 0), ("1-5", 1, 5), ("6-20", 6, 20), ("more", 21, np.inf))
POPULAR_SHARE: Final = 0.5  # of all interactions: the fewest items that gather them are popular
CLASSES: Final = ("cold", "tail", "popular")


@dataclass(frozen=True, slots=True)
class Segment:
    """rows: int64 (n,), places of its requests; relevant: the relevant items of each that count here."""

    kind: str  # history or target
    name: str
    rows: IntArray
    relevant: list[IntArray]


def segments(data: Interactions, requests: Requests, relevant: list[IntArray], n_events: IntArray) -> list[Segment]:
    """Those with at least one request. n_events: int64 (I + 1,), interactions with each item before the test."""
    lengths = requests.ends - data.offsets[requests.users]
    cuts = []
    for name, least, most in HISTORY_BANDS:
        rows = np.flatnonzero((lengths >= least) & (lengths <= most))
        cuts.append(Segment("history", name, rows, [relevant[row] for row in rows]))
    known = item_classes(n_events)
    for name in ("popular", "tail", "cold"):
        code = CLASSES.index(name)
        kept = [items[known[items] == code] for items in relevant]
        rows = np.array([row for row, items in enumerate(kept) if len(items)], np.int64)
        cuts.append(Segment("target", name, rows, [kept[row] for row in rows]))
    return [cut for cut in cuts if len(cut.rows)]


def item_classes(n_events: IntArray) -> IntArray:
    """0 = cold (no interaction), 1 = tail, 2 = popular: the fewest items with half of all interactions; (I + 1,).

    >>> item_classes(np.array([0, 1, 5, 0, 3, 1])).tolist()  # 5 of 10 interactions are with item 2
    [0, 1, 2, 0, 1, 1]
    """
    order = np.argsort(-n_events, kind="stable")
    gathered_before = np.cumsum(n_events[order]) - n_events[order]
    classes = np.zeros(len(n_events), np.int64)
    classes[order] = np.where(gathered_before < POPULAR_SHARE * n_events.sum(), 2, 1)
    return np.where(n_events > 0, classes, 0)
