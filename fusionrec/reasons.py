"""Why an item is on the slate, in a shopper's words: read off the contributions, and checked against the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusionrec.bundle.loader import Bundle
from fusionrec.fresh import Fresh
from fusionrec.scoring import Ranking
from fusionrec.transforms import History

MAX_REASONS: Final = 2
POPULAR_SHARE: Final = 0.05  # "popular" is an item among this share of the catalogue
LOOK_BACK: Final = 20  # acts that are searched for a similar item
MIN_SHARED: Final = 2  # facts that two items have in common to be called similar
MIN_ALIKE: Final = 0.3  # cosine from which a new item is said to be like another
_GOES_WITH: Final = ("ease", "item_knn", "graph")
_FOLLOWS: Final = ("attention", "transitions", "slist", "frequency")
_SIMILAR: Final = ("content", "encoder")
_TASTE: Final = ("two_tower", "als")
_ACTS: Final = {"purchase": "bought", "cart": "put in your cart", "click": "looked at", "view": "looked at",
                "rating": "rated"}  # fmt: skip


class Act(NamedTuple):
    """What a reason may point to."""

    place: int  # in the history
    item: int
    event_type: str


@dataclass(slots=True)
class Reasons:
    """The reasons of one answer; finds what several items need only once.

    What a shopper put in the cart, looked at or bought and then removed is no reason for anything.
    """

    bundle: Bundle
    fresh: Fresh
    history: History
    indices: npt.NDArray[np.int64]  # of the history's items, 0 = not in the catalogue
    removed: Collection[str] = ()  # items whose last word is a removal, as of `removed_items`
    _acts: list[Act] = field(init=False)  # oldest first
    _bought: Counter[int] = field(init=False)
    _goes_with: dict[int, int] | None = field(init=False, default=None)
    _popular_from: float = field(init=False, default=-1.0)

    def __post_init__(self) -> None:
        events = zip(self.history.item_ids, self.indices.tolist(), self.history.event_types, strict=True)
        self._acts = [
            Act(place, index, event_type)
            for place, (item_id, index, event_type) in enumerate(events)
            if index and event_type in _ACTS and item_id not in self.removed
        ]
        self._bought = Counter(act.item for act in self._acts if act.event_type == "purchase")

    def of(self, ranking: Ranking, place: int) -> tuple[str, ...]:
        """At most two, weightiest first; a part that argues against the item, or whose reason is untrue, gives none."""
        item = int(ranking.items[place])
        if item > self.bundle.n_items:
            return (self._new_reason(item),)
        added = ranking.contributions[place]
        found: list[str] = []
        for part in np.argsort(-added, kind="stable").tolist():
            if added[part] > 0 and len(found) < MAX_REASONS:
                reason = self._reason(ranking.parts[part], item)
                if reason and reason not in found:
                    found.append(reason)
        return tuple(found)

    def _new_reason(self, item: int) -> str:
        """What the new item is like: something that the shopper turned to before all others."""
        name_of, id_of = self.bundle.catalogue.text, self.bundle.catalogue.item_id
        acted = {act.item: _ACTS[act.event_type] for act in self._acts}
        alike = [int(other) for other, cosine in zip(*self.fresh.neighbours(item), strict=True) if cosine >= MIN_ALIKE]
        kept = [other for other in alike if id_of(other) not in self.removed]
        named = [other for other in kept if name_of("name", other) not in ("", name_of("name", item))]
        for other in sorted(named, key=lambda other: other not in acted):  # stable: the nearest of each kind first
            done = f", which you {acted[other]}" if other in acted else ""
            return f"New: like {name_of('name', other)}{done}"
        return "New"

    def _reason(self, part: str, item: int) -> str | None:
        if part == "popularity":
            return self._popularity_reason(item)
        if part in _FOLLOWS:
            return "Follows from what you did last" if self._acts else None
        told = {
            **dict.fromkeys(_GOES_WITH, self._goes_with_reason),
            **dict.fromkeys(_SIMILAR, self._similar_reason),
            **dict.fromkeys(_TASTE, self._taste_reason),
        }
        return told[part](item) if part in told else None

    def _popularity_reason(self, item: int) -> str | None:
        times = self._bought[item]
        if times:
            return "You buy this regularly" if times > 2 else "You bought this before"
        return "Popular right now" if self._is_popular(item) else None

    def _taste_reason(self, item: int) -> str | None:
        """The item's category or department, when the shopper turned to several items of it."""
        table = self.bundle.catalogue
        for column in ("category", "department"):
            name = table.text(column, item)
            met = {act.item for act in self._acts if act.item != item}
            if name and sum(table.text(column, index) == name for index in met) >= MIN_SHARED:
                return f"Fits what you like: {name}"
        return None

    def _similar_reason(self, item: int) -> str | None:
        """The newest of the last items that has at least two of category, brand and attributes in common."""
        for place, other, event_type in reversed(self._acts[-LOOK_BACK:]):
            if other != item and self._shared(item, other) >= MIN_SHARED:
                name = self.bundle.catalogue.text("name", other) or self.history.item_ids[place]
                if name != self.bundle.catalogue.text("name", item):
                    return f"Similar to {name}, which you {_ACTS[event_type]}"
        return None

    def _shared(self, item: int, other: int) -> int:
        """How many of category, brand and attributes two items have in common."""
        table = self.bundle.catalogue
        same = sum(table.text(column, item) == table.text(column, other) != "" for column in ("category", "brand"))
        return same + len({*table.texts("attributes", item)} & {*table.texts("attributes", other)})

    def _is_popular(self, item: int) -> bool:
        if self._popular_from < 0:
            popularity = self.bundle.popularity[1:]
            n_popular = max(1, int(len(popularity) * POPULAR_SHARE))
            self._popular_from = float(np.partition(popularity, len(popularity) - n_popular)[-n_popular])
        return float(self.bundle.popularity[item]) >= self._popular_from

    def _goes_with_reason(self, item: int) -> str | None:
        place = self._companions().get(item)
        if place is None:
            return None
        act = _ACTS[self.history.event_types[place]]
        if int(self.indices[place]) == item:
            return None
        name = self.bundle.catalogue.text("name", int(self.indices[place])) or self.history.item_ids[place]
        if name == self.bundle.catalogue.text(
            "name", item
        ):  # a variant under another id: reads as "bought with itself"
            return None
        day = datetime.fromtimestamp(self.history.sent_at[place] / 1000, UTC)
        return f"Often bought with {name}, which you {act} on {day.day} {day:%B %Y}"

    def _companions(self) -> dict[int, int]:
        """item → the newest place in the history whose item it is a complement of."""
        if self._goes_with is None:
            self._goes_with = {}
            items = self.bundle.neighbours["complement"].items
            for act in self._acts:
                if act.item <= self.bundle.n_items:
                    for companion in items[act.item].tolist():
                        if companion:
                            self._goes_with[companion] = act.place
        return self._goes_with
