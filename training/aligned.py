"""A newer preparation of the data as an older model sees it: its items, and users by their ids, never by numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy.sparse as sp

from training.content import item_content
from training.data.dataset import Dataset
from training.interactions import IntArray, Interactions, Vocabulary, read_interactions


@dataclass(frozen=True, slots=True)
class Aligned:
    """before, after: the same users in the same order, those of `after` first; who is missing in one is empty there.

    user_ids: of `after`, without those who are gone
    unknown:  item → events left out: the model does not know these items
    missing:  items of the model that the data no longer list
    """

    before: Interactions
    after: Interactions
    user_ids: tuple[str, ...]
    n_new_users: int
    n_gone_users: int
    unknown: Mapping[str, int]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, before: Interactions, user_ids: tuple[str, ...], item_ids: tuple[str, ...], dataset: Dataset) -> Self:
        """before, user_ids, item_ids: what the model was fitted on."""
        data, vocabulary, new_ids = read_interactions(dataset)
        known = {item: place for place, item in enumerate(item_ids, start=1)}
        place = np.array([0, *(known.get(item, 0) for item in vocabulary.item_ids)])
        n_events = np.bincount(data.items, minlength=len(place))
        unknown = {item: int(n_events[n]) for n, item in enumerate(vocabulary.item_ids, start=1) if not place[n]}
        old_rows = {user: row for row, user in enumerate(user_ids)}
        rows = [old_rows.pop(user, -1) for user in new_ids]
        gone = list(old_rows.values())
        after = with_items(replace(data, content=_content(dataset, vocabulary, item_ids)), place, len(item_ids))
        return cls(
            before=arranged(before, np.array([*rows, *gone], np.int64)),
            after=arranged(after, np.concatenate([np.arange(len(new_ids)), np.full(len(gone), -1)])),
            user_ids=new_ids,
            n_new_users=rows.count(-1),
            n_gone_users=len(gone),
            unknown=unknown,
            missing=tuple(sorted(known.keys() - set(vocabulary.item_ids))),
        )

    def present(self) -> Interactions:
        """`after` without those who are gone, in the order of `user_ids`."""
        return arranged(self.after, np.arange(len(self.user_ids)))


def with_items(data: Interactions, place: IntArray, n_items: int) -> Interactions:
    """Items by other indices, without the events of those that have none. place: int64, old index → new, 0 = none"""
    kept = place[data.items] > 0
    lengths = np.bincount(data.users[kept], minlength=data.n_users)
    return replace(
        data,
        n_items=n_items,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        items=place[data.items[kept]],
        events=data.events[kept],
        sent_at=data.sent_at[kept],
        sessions=data.sessions[kept],
        prices=None if data.prices is None else data.prices[kept],
    )


def arranged(data: Interactions, rows: IntArray) -> Interactions:
    """Users in another order. rows: int64 (U,), which user of `data` comes there; -1 = nobody, an empty history"""
    lengths = np.where(rows >= 0, np.diff(data.offsets)[rows] if data.n_users else 0, 0)
    starts = np.where(rows >= 0, data.offsets[rows], 0)
    return sliced(data, starts, starts + lengths)


def sliced(data: Interactions, starts: IntArray, stops: IntArray) -> Interactions:
    """Each stretch of the arrays as a user of its own. starts, stops: int64 (U,)"""
    offsets = np.concatenate([[0], np.cumsum(stops - starts)])
    at = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], stops - starts)
    return replace(
        data,
        offsets=offsets,
        items=data.items[at],
        events=data.events[at],
        sent_at=data.sent_at[at],
        sessions=data.sessions[at],
        feedback=None,
        prices=None if data.prices is None else data.prices[at],
    )


def _content(dataset: Dataset, vocabulary: Vocabulary, item_ids: tuple[str, ...]) -> sp.csr_matrix | None:
    """What the catalogue says of the model's items; of those that it no longer lists, nothing."""
    content = item_content(dataset, vocabulary)
    if content is None:
        return None
    index = vocabulary.index()
    return content[[0, *(index.get(item, 0) for item in item_ids)]]
