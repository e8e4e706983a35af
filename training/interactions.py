"""Interactions as flat arrays, one user after another, and the requests that models are fitted and judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from fusionrec.errors import DataError
from fusionrec.feature_spec import EVENT_CODES, EVENT_TYPES, HISTORY_LENGTH
from fusionrec.transforms import ModelInput, model_input
from training.data.dataset import Dataset

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Item ids and their indices 1..n_items; 0 is padding. The order is random, so that an index tells nothing."""

    item_ids: tuple[str, ...]

    @classmethod
    def shuffled(cls, item_ids: Iterable[str], seed: int = 0) -> Vocabulary:
        """Relabel at random: the order depends on the seed and the ids only, not on the order of the input."""
        distinct = {str(item_id) for item_id in item_ids}
        return cls(tuple(sorted(distinct, key=lambda item: hashlib.sha256(f"{seed}:{item}".encode()).digest())))

    def __len__(self) -> int:
        return len(self.item_ids)

    def index(self) -> dict[str, int]:
        return {item: index for index, item in enumerate(self.item_ids, start=1)}


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the served slates add to interactions, by their places 0..N - 1 in the arrays.

    worth:   float32 (N,), what an interaction says for its item; NaN where its event type alone tells
    refused: int64 (R,), sorted: the interaction before which an item was on display and was not touched
    items:   int64 (R,), these items; weights: float32 (R,), in 0..1, how likely each was examined
    """

    worth: npt.NDArray[np.float32]
    refused: IntArray
    items: IntArray
    weights: npt.NDArray[np.float32]

    def keep(self, kept: npt.NDArray[np.bool_]) -> Feedback:
        """Of these interactions only. What was shown after a user's last one goes with the next, so not before it."""
        place = np.cumsum(kept) - 1
        rows = kept[self.refused]
        return Feedback(self.worth[kept], place[self.refused[rows]], self.items[rows], self.weights[rows])


@dataclass(frozen=True, slots=True)
class Interactions:
    """All interactions, sorted by user, then oldest first.

    offsets: int64 (U + 1,), user u owns offsets[u]:offsets[u + 1] of the other arrays
    items, events, sessions: int64 (N,); sessions number the sessions of a user from 0
    sent_at: int64 (N,), ms since 1970 UTC
    content: float32 (n_items + 1, F), unit rows, what the catalogue says of the items; None: nothing
    vectors: float32 (n_items + 1, E), unit rows, what a sentence encoder makes of the items' texts; None: not asked for
    feedback: what served slates add; None: no labels
    prices: float32 (N,), cents for one unit, 0 = unknown; None: the data tell no prices
    """

    n_items: int
    offsets: IntArray
    items: IntArray
    events: IntArray
    sent_at: IntArray
    sessions: IntArray
    has_times: bool = True
    content: sp.csr_matrix | None = None
    vectors: npt.NDArray[np.float32] | None = None
    feedback: Feedback | None = None
    prices: npt.NDArray[np.float32] | None = None

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1

    def __len__(self) -> int:
        return len(self.items)

    @property
    def users(self) -> IntArray:
        """int64 (N,): the user of each interaction."""
        return np.repeat(np.arange(self.n_users), np.diff(self.offsets))

    @property
    def chosen(self) -> npt.NDArray[np.bool_]:
        """bool (N,): what speaks for an item, which is everything but its removal."""
        chosen: npt.NDArray[np.bool_] = self.events != EVENT_CODES["removal"]
        return chosen

    def prefix(self, ends: IntArray) -> Interactions:
        """What was known when user u had made its interactions up to ends[u] (an offset, exclusive)."""
        return self.where(np.arange(len(self)) < np.repeat(ends, np.diff(self.offsets)))

    def where(self, keep: npt.NDArray[np.bool_]) -> Interactions:
        """These interactions only, of the same users."""
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(keep)])[self.offsets],
            items=self.items[keep],
            events=self.events[keep],
            sent_at=self.sent_at[keep],
            sessions=self.sessions[keep],
            feedback=None if self.feedback is None else self.feedback.keep(keep),
            prices=None if self.prices is None else self.prices[keep],
        )

    def ends_before(self, cutoff_ms: int) -> IntArray:
        """int64 (U,): the offset after each user's last interaction that is earlier than the cut-off."""
        earlier = np.concatenate([[0], np.cumsum(self.sent_at < cutoff_ms)])
        return np.asarray(self.offsets[:-1] + earlier[self.offsets[1:]] - earlier[self.offsets[:-1]])


def read_interactions(dataset: Dataset, seed: int = 0) -> tuple[Interactions, Vocabulary, tuple[str, ...]]:
    """The arrays of a prepared data set, its vocabulary and its user ids (in the order of `offsets`).

    The vocabulary is the whole catalogue: items that were never sold can be asked for and must be ranked.
    """
    events = dataset.events
    vocabulary = Vocabulary.shuffled(pc.unique(pa.chunked_array([*_texts(dataset.items), *_texts(events)])), seed)
    items = pc.index_in(events["item_id"], pa.array(vocabulary.item_ids)).to_numpy() + 1
    users = events["user_id"].combine_chunks().dictionary_encode()
    codes = users.indices.to_numpy()
    order = np.lexsort((events["position"].to_numpy(), codes))
    codes = codes[order]
    session_ids = events["session_id"].combine_chunks().dictionary_encode().indices.to_numpy()[order]
    first = np.searchsorted(codes, np.arange(len(users.dictionary) + 1))
    starts = np.concatenate([[0], np.cumsum((session_ids[1:] != session_ids[:-1]) | (codes[1:] != codes[:-1]))])
    types = pc.index_in(events["event_type"], pa.array(EVENT_TYPES))
    if types.null_count:
        raise DataError(f"unknown event type; one of {', '.join(EVENT_TYPES)}", pointer="events.parquet:event_type")
    prices = events["price_cents"].fill_null(0).to_numpy()[order].astype(np.float32)
    data = Interactions(
        n_items=len(vocabulary),
        offsets=first.astype(np.int64),
        items=items[order].astype(np.int64),
        events=types.to_numpy().astype(np.int64)[order] + 1,
        sent_at=events["sent_at"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()[order],
        sessions=starts - starts[np.minimum(first[:-1], max(len(starts) - 1, 0))][codes],
        has_times=dataset.has_times,
        prices=prices if (prices > 0).any() else None,
    )
    return data, vocabulary, tuple(users.dictionary.to_pylist())


def _texts(table: pa.Table) -> list[pa.Array]:
    return list(table["item_id"].chunks)


class Requests(NamedTuple):
    """Moments at which a ranking is asked for. Row r is a user with a history and what it did next.

    users: int64 (R,)
    ends: int64 (R,), the history is everything of the user before this offset
    until: int64 (R,), the relevant items are those in ends:until that were not just removed
    now_ms: int64 (R,)
    """

    users: IntArray
    ends: IntArray
    until: IntArray
    now_ms: IntArray

    def take(self, rows: IntArray) -> Requests:
        return Requests(self.users[rows], self.ends[rows], self.until[rows], self.now_ms[rows])

    def inputs(self, data: Interactions, rows: Sequence[int] | IntArray, length: int = HISTORY_LENGTH) -> ModelInput:
        """The model's arrays for some rows, made by the same function as in serving."""
        starts = np.maximum(data.offsets[self.users], self.ends - length)
        cuts = [slice(starts[row], self.ends[row]) for row in rows]
        return model_input(
            [data.items[cut] for cut in cuts],
            [data.events[cut] for cut in cuts],
            [data.sent_at[cut] for cut in cuts],
            [int(self.now_ms[row]) for row in rows],
        )

    def relevant(self, data: Interactions, row: int) -> IntArray:
        """The distinct items that the user turned to next."""
        window = slice(self.ends[row], self.until[row])
        return np.unique(data.items[window][data.events[window] != EVENT_CODES["removal"]])
