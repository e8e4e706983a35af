"""The content of the catalogue's items, turned inside out: for each term the items that have it.

Enough to embed an item that training never saw, exactly as training embeds (`training/content.py`), and to find the
catalogue items that are most like it. Two blocks of terms, texts and attributes; each is scaled to length one, then
both together: the cosine of two items is the sum of the products of the terms that both have.

limits: a term that no two catalogue items had says nothing here either; an item of such terms alone has no neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from fusionrec.bundle.catalogue import Strings, map_array

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

BLOCKS: Final = ("text_terms", "attribute_terms")


class Postings(NamedTuple):
    """terms: two sorted lists; F = their lengths together, texts first.

    rarity: float32 (F,); starts: int64 (F + 1,), term f owns starts[f]:starts[f + 1] of `items` int32, vocabulary
    indices, and `values` float32, the items' coordinates
    """

    terms: tuple[Sequence[str], Sequence[str]]
    rarity: FloatArray
    starts: IntArray
    items: npt.NDArray[np.int32]
    values: FloatArray


def write_content(folder: Path, postings: Postings) -> None:
    """Write the files; the folder is created."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, terms in zip(BLOCKS, postings.terms, strict=True):
        Strings.encode(terms).save(folder, name)
    for name in ("rarity", "starts", "items", "values"):
        np.save(folder / f"{name}.npy", getattr(postings, name))


class Content:
    """Reads what `write_content` wrote; safe for concurrent readers."""

    def __init__(self, postings: Postings, n_items: int) -> None:
        self._postings, self.n_items = postings, n_items

    @classmethod
    def load(cls, folder: Path, n_items: int) -> Self:
        """Map every file. Raises BundleTamperedError."""
        terms = (Strings.load(folder, BLOCKS[0]), Strings.load(folder, BLOCKS[1]))
        arrays = (map_array(folder / f"{name}.npy") for name in ("rarity", "starts", "items", "values"))
        return cls(Postings(terms, *arrays), n_items)  # type: ignore[arg-type]

    @cached_property
    def _columns(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """term → column of each block; made when the first item is embedded."""
        texts, attributes = self._postings.terms
        first = {texts[place]: place for place in range(len(texts))}
        return first, {attributes[place]: len(first) + place for place in range(len(attributes))}

    def embed(self, texts: Iterable[str], attributes: Iterable[str]) -> tuple[IntArray, FloatArray]:
        """Columns int64 (N,), rising, and coordinates float32 (N,) of an item of these terms; length one, or empty."""
        columns, values = [], []
        for known, terms in zip(self._columns, (texts, attributes), strict=True):
            found = np.array(sorted(known[term] for term in terms if term in known), np.int64)
            weights = self._postings.rarity[found]
            columns.append(found)
            values.append(_unit(weights))
        return np.concatenate(columns), _unit(np.concatenate(values))

    def nearest(self, columns: IntArray, values: FloatArray, n: int, at_least: float) -> tuple[IntArray, FloatArray]:
        """The catalogue items most like a vector: indices and cosines, greatest first, ties by index.

        at_least: the smallest cosine that counts
        """
        cosines = self.cosines(columns, values)
        n = min(n, self.n_items)
        if not n:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        least = max(float(np.partition(cosines, -n)[-n]), at_least)
        chosen = np.flatnonzero(cosines >= least)
        order = np.lexsort((chosen, -cosines[chosen]))[:n]
        return chosen[order], cosines[chosen[order]].astype(np.float32)

    def cosines(self, columns: IntArray, values: FloatArray) -> npt.NDArray[np.float64]:
        """With every item, float64 (n_items + 1,)."""
        starts, ends = self._postings.starts[columns], self._postings.starts[columns + 1]
        lengths = ends - starts
        before = np.cumsum(lengths) - lengths
        places = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
        weights = self._postings.values[places] * np.repeat(values, lengths)
        summed = np.bincount(self._postings.items[places], weights=weights, minlength=self.n_items + 1)
        return summed.astype(np.float64)  # of no postings at all, numpy counts in whole numbers


def _unit(values: FloatArray) -> FloatArray:
    length = np.sqrt(np.square(values).sum())
    scaled: FloatArray = values / length if length > 0 else values
    return scaled
