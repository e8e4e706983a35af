"""Other readings of the same data: without what the catalogue says, or with the order of ties shuffled.

Ties are events of one user whose true order the data do not tell. What they are depends on what is known:

- with times: neighbouring events of the same moment (data of whole days: the same day) and session;
- without times, but with the catalogue's order (files whose items keep the shop's own ids): such files were sorted by
  day, and within a day they kept the order of the shop's ids. So neighbours that one day may hold stand in rising
  order, and every longest rising run is shuffled. That breaks all ties, and some true order too, where a later
  day's item happened to stand higher: half of the pairs of different days. Results are a lower bound;
- without either: which neighbours are ties cannot be told. Each history is cut into pairs of neighbours, beginning at
  its first or second event at random, and each pair is swapped with probability one half. That breaks half of the
  ties and as much of the true order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fusionrec.errors import BadInputError
from training.data.dataset import Dataset
from training.interactions import Interactions, Vocabulary

IntArray = npt.NDArray[np.int64]
Ties = Literal["file", "shuffled"]
TIES: Final = ("file", "shuffled")


@dataclass(frozen=True, slots=True)
class Variant:
    """ids_only: no words, attributes, categories and prices; ties: in the order of the file, or shuffled by `seed`;
    encoder: with what a sentence encoder makes of the items' texts.

    raises: BadInputError for the encoder where there are to be ids alone
    """

    ids_only: bool = False
    ties: Ties = "file"
    seed: int = 0
    encoder: bool = False

    def __post_init__(self) -> None:
        if self.ids_only and self.encoder:
            raise BadInputError(
                "reads the items' texts, which --ids-only leaves out; give one of them", pointer="--encoder"
            )

    @property
    def as_served(self) -> bool:
        """The data as a shop serves from them: all that is known, in the order in which it happened."""
        return not self.ids_only and self.ties == "file"

    @property
    def suffix(self) -> str:
        """For file names: empty by default."""
        return "-ids-only" * self.ids_only + "-encoder" * self.encoder + "-ties-shuffled" * (self.ties == "shuffled")

    @property
    def title(self) -> str:
        """For headings: empty by default."""
        said = {", ids only": self.ids_only, ", encoder": self.encoder, ", ties shuffled": self.ties == "shuffled"}
        return "".join(words for words, holds in said.items() if holds)

    def facts(self) -> tuple[Any, ...]:
        """What a key must hold besides the defaults."""
        seed = self.seed if self.ties == "shuffled" else 0  # nothing else of a reading draws
        return (repr(replace(self, seed=seed)),) if self.suffix else ()

    def read(self, dataset: Dataset, data: Interactions, vocabulary: Vocabulary) -> tuple[Interactions, str]:
        """The interactions as this variant has them, and by which rule ties were told ("" when left alone)."""
        if self.ties == "file":
            return data, ""
        places = catalogue_places(dataset, vocabulary)
        if data.has_times:
            return shuffled(data, same_moment(data), self.seed), "same moment"
        if places is not None:
            return shuffled(data, rising(data, places), self.seed), "rising in the catalogue's order"
        return shuffled(data, random_pairs(data, self.seed), self.seed), "pairs of neighbours at random"


def catalogue_places(dataset: Dataset, vocabulary: Vocabulary) -> IntArray | None:
    """int64 (n_items + 1,): where the shop lists each item, 0 = unknown; None: the data do not say."""
    listed = dataset.catalogue_order
    if listed is None:
        return None
    place = {item: number for number, item in enumerate(listed, start=1)}
    return np.array([0, *(place.get(item, 0) for item in vocabulary.item_ids)])


def shuffled(data: Interactions, joined: npt.NDArray[np.bool_], seed: int) -> Interactions:
    """Items, events and prices of each run in random order; times and sessions stay where they are.

    joined: bool (N,), an event that belongs to the run of the one before it
    """
    runs = np.cumsum(~joined)
    order = np.lexsort((np.random.default_rng(seed).random(len(data)), runs))
    prices = None if data.prices is None else data.prices[order]
    return replace(data, items=data.items[order], events=data.events[order], prices=prices)


def same_moment(data: Interactions) -> npt.NDArray[np.bool_]:
    """Events with the time and session of the one before, (N,)."""
    return np.asarray(_after_another(data) & _as_before(data.sent_at) & _as_before(data.sessions))


def rising(data: Interactions, places: IntArray) -> npt.NDArray[np.bool_]:
    """Events whose item stands later in the catalogue than that of the event before, (N,)."""
    at = places[data.items]
    before = np.concatenate([[0], at[:-1]])
    return np.asarray(_after_another(data) & (before > 0) & (at > before))


def random_pairs(data: Interactions, seed: int) -> npt.NDArray[np.bool_]:
    """Every second event of a user, from the second or the third on, (N,)."""
    phase = np.random.default_rng((seed, 1)).integers(0, 2, data.n_users)
    step = np.arange(len(data)) - np.repeat(data.offsets[:-1] - phase, np.diff(data.offsets))
    return np.asarray(_after_another(data) & (step % 2 == 1))


def _after_another(data: Interactions) -> npt.NDArray[np.bool_]:
    """False at each user's first event."""
    after = np.ones(len(data), bool)
    after[data.offsets[:-1][np.diff(data.offsets) > 0]] = False
    return after


def _as_before(values: IntArray) -> npt.NDArray[np.bool_]:
    return np.concatenate([[False], values[1:] == values[:-1]])
