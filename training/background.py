"""What slates are held against: how well known each item was, of which category it is, how alike two items are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from fusionrec.bundle.catalogue import MOST_KINDS
from training.content import unit_rows
from training.data.dataset import Dataset
from training.interactions import Interactions, Vocabulary

Likeness = Literal["content", "co-occurrence"]


@dataclass(frozen=True, slots=True)
class Background:
    """All from before the judged items.

    n_users:    users with an interaction
    n_holders:  int64 (I + 1,), users who had the item
    n_events:   int64 (I + 1,), interactions with it
    categories: int64 (I + 1,), codes, 0 = unknown; None: the catalogue has no categories
    kinds:      int32 (I + 1, M), codes by which the re-ranker knows repetition, 0 = none; M is 0 where nothing tells
    vectors:    unit rows (I + 1, F), the cosine of two says how alike the items are; a zero row is like nothing
    likeness:   what `vectors` hold: the catalogue's words and attributes, or else the users that each item had
    """

    n_users: int
    n_holders: npt.NDArray[np.int64]
    n_events: npt.NDArray[np.int64]
    categories: npt.NDArray[np.int64] | None
    kinds: npt.NDArray[np.int32]
    vectors: sp.csr_matrix
    likeness: Likeness

    @classmethod
    def of(
        cls,
        known: Interactions,
        categories: npt.NDArray[np.int64] | None = None,
        attributes: npt.NDArray[np.int32] | None = None,
    ) -> Self:
        """known: the interactions that models were fitted on, with `content` where the catalogue has any;
        attributes: int32 (I + 1, M), codes, which tell the kinds where there are no categories"""
        pairs = sp.csr_matrix(
            (np.ones(len(known), np.float32), (known.items, known.users)), shape=(known.n_items + 1, known.n_users)
        )
        pairs.data[:] = 1.0  # summed above where a user came back
        return cls(
            n_users=int((np.diff(known.offsets) > 0).sum()),
            n_holders=np.diff(pairs.indptr).astype(np.int64),
            n_events=np.bincount(known.items, minlength=known.n_items + 1),
            categories=categories,
            kinds=_kinds(known.n_items, categories, attributes),
            vectors=unit_rows(pairs) if known.content is None else known.content,
            likeness="co-occurrence" if known.content is None else "content",
        )

    def popularity(self) -> npt.NDArray[np.float64]:
        """The share of users who had the item, (I + 1,)."""
        return self.n_holders / max(self.n_users, 1)


def _kinds(
    n_items: int, categories: npt.NDArray[np.int64] | None, attributes: npt.NDArray[np.int32] | None
) -> npt.NDArray[np.int32]:
    if categories is not None:
        return categories.astype(np.int32)[:, None]
    return np.zeros((n_items + 1, 0), np.int32) if attributes is None else attributes


def item_attributes(dataset: Dataset, vocabulary: Vocabulary) -> npt.NDArray[np.int32]:
    """Codes of each item's first MOST_KINDS attributes, int32 (n_items + 1, M), 0 where there are no more."""
    told = zip(dataset.items["item_id"].to_pylist(), dataset.items["attributes"].to_pylist(), strict=True)
    lists = {item_id: list(texts or ())[:MOST_KINDS] for item_id, texts in told}
    codes = {text: code for code, text in enumerate(sorted({text for own in lists.values() for text in own}), start=1)}
    found = np.zeros((len(vocabulary) + 1, max(map(len, lists.values()), default=0)), np.int32)
    for index, item_id in enumerate(vocabulary.item_ids, start=1):  # of a model that is updated some are not in it yet
        own = lists.get(item_id, [])
        found[index, : len(own)] = [codes[text] for text in own]
    return found


def item_categories(dataset: Dataset, vocabulary: Vocabulary) -> npt.NDArray[np.int64] | None:
    """A code for each item's category, int64 (n_items + 1,), 0 where it has none; None when no item has one."""
    names = dict(zip(dataset.items["item_id"].to_pylist(), dataset.items["category"].to_pylist(), strict=True))
    codes = {name: code for code, name in enumerate(sorted({name for name in names.values() if name}), start=1)}
    return np.array([0, *(codes.get(names.get(item) or "", 0) for item in vocabulary.item_ids)]) if codes else None
