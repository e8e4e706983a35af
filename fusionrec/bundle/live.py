"""A bundle's catalogue with the updates of items laid over it: changed columns, new rows, and what is not for sale.

New items stand behind those of the bundle: rows `n_items + 1 …`. `n_items` stays the number that the graph knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fusionrec.bundle.catalogue import MOST_KINDS, Catalogue, IntArray, Strings, Texts
from fusionrec.errors import VocabularyError
from fusionrec.item_log import ATTRIBUTES, AVAILABLE, PRICE, TEXTS, Item


class LiveCatalogue(Catalogue):
    """Never changed once it is handed out: `with_updates` makes the next one, at the cost of what is new."""

    def __init__(self, base: Catalogue, items_through: int) -> None:
        """items_through: the last update whose attributes the base holds already"""
        super().__init__(base.n_items, base._ids, base._hashes, base._order)
        self._numbers, self._values, self._codes, self._rows = base._numbers, base._values, base._codes, base._rows
        self._base, self._through = base, items_through
        self._new: dict[str, int] = {}
        self._texts: dict[str, dict[int, str]] = {name: {} for name in TEXTS}
        self._lists: dict[int, tuple[str, ...]] = {}
        self._prices: dict[int, int] = {}
        self._gone: frozenset[int] = frozenset()
        self._made: dict[str, Any] = {}  # whole columns, made when somebody asks

    def with_updates(self, updates: Mapping[str, Item]) -> Self:
        """The catalogue after these items took the state that the log says."""
        after = type(self)(self._base, self._through)
        after._new, after._lists, after._prices = dict(self._new), dict(self._lists), dict(self._prices)
        after._texts = {name: dict(changed) for name, changed in self._texts.items()}
        gone = set(self._gone)
        for item_id, item in updates.items():
            index = self._base.index(item_id) or after._new.setdefault(item_id, self.n_items + 1 + len(after._new))
            after._lay(index, item)
            if AVAILABLE in item:
                (gone.discard if item[AVAILABLE].value else gone.add)(index)
        after._gone = frozenset(gone)
        return after

    def _lay(self, index: int, item: Item) -> None:
        for name, stamped in item.items():
            if name == PRICE:
                self._prices[index] = int(stamped.value)  # type: ignore[arg-type]
            elif name in ATTRIBUTES and (index > self.n_items or stamped.number > self._through):
                if name in TEXTS:
                    self._texts[name][index] = str(stamped.value)
                else:
                    self._lists[index] = stamped.value  # type: ignore[assignment]

    @property
    def n_rows(self) -> int:
        return self.n_items + 1 + len(self._new)

    @property
    def unavailable(self) -> IntArray:
        return np.array(sorted(self._gone), np.int64)

    def is_available(self, index: int) -> bool:
        return index not in self._gone

    def item_id(self, index: int) -> str:
        if index <= self.n_items:
            return self._base.item_id(index)
        if index >= self.n_rows:
            raise VocabularyError(f"item index {index} lies outside 1..{self.n_rows - 1}")
        names = self._made.setdefault("item_id", list(self._new))
        return str(names[index - self.n_items - 1])

    def find(self, item_ids: Texts) -> IntArray:
        found = self._base.find(item_ids)
        if self._new:
            for place in np.flatnonzero(found == 0).tolist():
                found[place] = self._new.get(item_ids[place], 0)
        return found

    def text(self, name: str, index: int) -> str:
        changed = self._texts.get(name, {}).get(index)
        if changed is not None:
            return changed
        return self._base.text(name, index) if index <= self.n_items else ""

    def texts(self, name: str, index: int) -> list[str]:
        changed = self._lists.get(index) if name in ATTRIBUTES else None
        if changed is not None:
            return list(changed)
        return self._base.texts(name, index) if index <= self.n_items else []

    def number(self, name: str, index: int) -> float:
        if name == PRICE and index in self._prices:
            return self._prices[index]
        return self._base.number(name, index) if index <= self.n_items else 0

    def codes_of(self, name: str, indices: IntArray) -> npt.NDArray[np.int32]:
        changed = self._texts.get(name, {})
        if not changed and not self._new:
            return self._base.codes_of(name, indices)
        known = self._base.codes(name)[np.where(indices <= self.n_items, indices, 0)]
        places = [place for place, index in enumerate(indices.tolist()) if index in changed]
        if places:
            code_of = self._code_of(name)
            known[places] = [code_of[changed[int(indices[place])]] for place in places]
        return known

    def list_codes_of(self, name: str, indices: IntArray) -> npt.NDArray[np.int32]:
        known = self._base.list_codes_of(name, np.where(indices <= self.n_items, indices, 0))
        changed = {place: self._lists[index] for place, index in enumerate(indices.tolist()) if index in self._lists}
        if not changed:
            return known
        code_of = self._code_of(name)
        width = min(MOST_KINDS, max(known.shape[1], *map(len, changed.values())))
        known = np.pad(known, ((0, 0), (0, width - known.shape[1])))
        for place, texts in changed.items():
            codes = [code_of[text] for text in texts[:width]]
            known[place] = codes + [0] * (width - len(codes))
        return known

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """The column, (n_rows, …); 0 where nothing is known of a new item."""
        if name not in self._made:
            base = self._base.numbers(name)
            column = np.concatenate([base, np.zeros((len(self._new), *base.shape[1:]), base.dtype)])
            if name == PRICE and self._prices:
                column[list(self._prices)] = list(self._prices.values())
            self._made[name] = column
        return self._made[name]  # type: ignore[no-any-return]

    def codes(self, name: str) -> npt.NDArray[np.int32]:
        """int32 (n_rows,), codes of `values`."""
        if name not in self._texts:
            return self._base.codes(name)
        return self.codes_of(name, np.arange(self.n_rows))

    def values(self, name: str) -> Strings:
        """The distinct texts: those of the bundle, then what updates brought."""
        if name not in self._texts:
            return self._base.values(name)
        return Strings.encode(self._code_of(name))

    def _code_of(self, name: str) -> dict[str, int]:
        """text → code: the bundle's, then new ones."""
        made: dict[str, int] | None = self._made.get(f"{name} codes")
        if made is None:
            values = self._base.values(name)
            made = {values[code]: code for code in range(len(values))}
            told = self._texts[name].values() if name in self._texts else chain(*self._lists.values())
            for text in told:
                made.setdefault(text, len(made))
            self._made[f"{name} codes"] = made
        return made
