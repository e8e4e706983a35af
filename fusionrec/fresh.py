"""Items that the graph does not know yet, placed among those that it ranks by what the catalogue says of them.

A new item n has the catalogue's N items most like it, by the cosine w of their words and attributes. Where these stand
in this user's ranking (rank 0 is the best; what is not in it counts 0) says where the new one stands:

    a(n, i) = w(n, i) / (Σ_j w(n, j) + SHRINK),    1 / (1 + rank(n)) = Σ_i a(n, i) / (1 + rank(i))

Its score is that of this rank in the ranking, by interpolation, the last one's at least. Ranks and not scores are
mixed, since how fast scores fall differs from user to user: means of scores hide every new item where they fall fast,
means of probabilities flood the slate (docs/adr/0009-items-between-trainings.md has the figures). SHRINK holds back
what is like few items only: a new item never stands above the best of those that it is like.

Contributions: those of the items that it is like, each weighted by its share of the sum above, and as a part of its
own, `new`, what is taken off for nobody having tried the item; base + contributions is the score, as ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.bundle.content import Content
from fusionrec.item_terms import attribute_terms, text_terms
from fusionrec.scoring import Ranking

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

N_NEAR: Final = 10
MIN_COSINE: Final = 0.1  # less is chance
SHRINK: Final = 3.0  # in cosines; chosen on a shop with a tenth of its items held back
NEW: Final = "new"  # the part that says what being new takes off
MAX_PLACED: Final = 256  # new items in one ranking, as many as the graph gives of the others


@dataclass(frozen=True, slots=True)
class Fresh:
    """near: int64 (M, N), the catalogue's items most like each new one, nearest first, 0 = none; cosines: (M, N).

    Row m is the item with the vocabulary index n_items + 1 + m.
    """

    n_items: int  # of the graph
    near: IntArray
    cosines: FloatArray

    @classmethod
    def none(cls, n_items: int) -> Self:
        return cls(n_items, np.zeros((0, N_NEAR), np.int64), np.zeros((0, N_NEAR), np.float32))

    def with_items(self, content: Content | None, catalogue: Catalogue, indices: Iterable[int]) -> Fresh:
        """Place the new items among these indices anew; without content nothing can be placed."""
        more = catalogue.n_rows - 1 - self.n_items - len(self.near)
        near = np.concatenate([self.near, np.zeros((more, N_NEAR), np.int64)])
        cosines = np.concatenate([self.cosines, np.zeros((more, N_NEAR), np.float32)])
        for index in indices:
            if content is not None and index > self.n_items:
                found, alike = content.nearest(*embedded(content, catalogue, index), N_NEAR, MIN_COSINE)
                near[index - self.n_items - 1], cosines[index - self.n_items - 1] = 0, 0.0
                near[index - self.n_items - 1, : len(found)] = found
                cosines[index - self.n_items - 1, : len(found)] = alike
        return replace(self, near=near, cosines=cosines)

    @property
    def placed(self) -> BoolArray:
        """bool (M,): has an item that it is like; others cannot be ranked until the next training."""
        placed: BoolArray = self.near[:, 0] > 0
        return placed

    def neighbours(self, index: int) -> tuple[IntArray, FloatArray]:
        """Of one new item: vocabulary indices and cosines, nearest first."""
        row = index - self.n_items - 1
        n_found = int((self.near[row] > 0).sum())
        return self.near[row, :n_found], self.cosines[row, :n_found]

    def like(self, index: int) -> tuple[IntArray, FloatArray]:
        """The new items that one of the catalogue's is among the nearest of: indices and cosines, nearest first."""
        rows, places = np.nonzero(self.near == index)
        order = np.argsort(-self.cosines[rows, places], kind="stable")
        return rows[order] + self.n_items + 1, self.cosines[rows, places][order]

    def stand_ins(self, indices: IntArray) -> IntArray:
        """For the graph: each new item of a history as the catalogue's item most like it, 0 where there is none."""
        if not len(self.near):
            return indices
        rows = np.maximum(indices - self.n_items - 1, 0)
        return np.where(indices > self.n_items, self.near[rows, 0], indices)

    def joined(self, ranking: Ranking, eligible: BoolArray) -> Ranking:
        """The ranking with the new items in it. eligible: bool (n_rows,)."""
        rows = np.flatnonzero(self.placed & eligible[self.n_items + 1 :])
        if not len(rows):
            return ranking
        near, cosines = self.near[rows], self.cosines[rows]
        n_ranked = len(ranking.items)
        heights = np.zeros(self.n_items + 1, np.float32)  # 1 / (1 + rank); 0 = not ranked
        heights[ranking.items] = 1.0 / np.arange(1, n_ranked + 1)
        parts = cosines / (cosines.sum(axis=1, keepdims=True) + SHRINK) * heights[near]  # (M, N)
        total = parts.sum(axis=1)
        if len(rows) > MAX_PLACED:
            best = np.argpartition(-total, MAX_PLACED)[:MAX_PLACED]
            rows, near, parts, total = rows[best], near[best], parts[best], total[best]
        return _merged(ranking, rows + self.n_items + 1, near, parts, total)


def _merged(ranking: Ranking, indices: IntArray, near: IntArray, parts: FloatArray, total: FloatArray) -> Ranking:
    """near: (M, N), vocabulary indices; parts: (M, N), what each adds to 1 / (1 + rank); total: (M,), their sum."""
    n_ranked, base = len(ranking.items), ranking.base if len(ranking.items) else 0.0
    if n_ranked:
        ranks = 1.0 / np.maximum(total, 1.0 / n_ranked) - 1.0
        scores = np.interp(ranks, np.arange(n_ranked), ranking.scores).astype(np.float32)
    else:  # nothing else may be shown
        scores = np.zeros(len(indices), np.float32)
    added = _mixed(ranking, near, parts, total)
    taken_off = scores - base - added.sum(axis=1)
    own = np.concatenate([added, taken_off[:, None]], axis=1).astype(np.float32)
    known = np.pad(ranking.contributions, ((0, 0), (0, 1)))
    all_scores = np.concatenate([ranking.scores, scores])
    order = np.lexsort((np.concatenate([np.full(n_ranked, -2.0), -total]), -all_scores))  # among equals the known first
    return Ranking(
        np.concatenate([ranking.items, indices])[order],
        all_scores[order],
        np.concatenate([known, own])[order],
        base,
        (*ranking.parts, NEW),
    )


def _mixed(ranking: Ranking, near: IntArray, parts: FloatArray, total: FloatArray) -> FloatArray:
    """The contributions of the items that each new one is like, (M, P); the last one's where none is ranked."""
    n_ranked = len(ranking.items)
    if not n_ranked:
        return np.zeros((len(near), len(ranking.parts)), np.float32)
    by_index = np.argsort(ranking.items)
    places = by_index[np.minimum(np.searchsorted(ranking.items, near, sorter=by_index), n_ranked - 1)]
    shares = parts / np.where(total > 0, total, 1.0)[:, None]
    mixed: FloatArray = np.einsum("mn,mnp->mp", shares, ranking.contributions[places]).astype(np.float32)
    mixed[total == 0] = ranking.contributions[-1]
    return mixed


def embedded(content: Content, catalogue: Catalogue, index: int) -> tuple[IntArray, FloatArray]:
    """The item's vector, from the catalogue's columns as they are now."""
    text = catalogue.text
    return content.embed(
        text_terms(text("name", index), text("description", index)),
        attribute_terms(
            text("category", index),
            text("department", index),
            text("brand", index),
            catalogue.texts("attributes", index),
        ),
    )
