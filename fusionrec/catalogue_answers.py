"""Answers that need the bundle only, as it is now: an item's neighbours, and what is trending."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.bundle.loader import Bundle
from fusionrec.contracts.items import ItemMetadata, Kind, ScoredItem, SimilarItems, TrendingItems
from fusionrec.errors import UnknownItemError
from fusionrec.fresh import Fresh

MIN_EVENTS_7D = 5  # fewer say nothing about a trend


def item_metadata(catalogue: Catalogue, index: int) -> ItemMetadata:
    return ItemMetadata(
        name=catalogue.text("name", index) or None,
        category=catalogue.text("category", index) or None,
        department=catalogue.text("department", index) or None,
        brand=catalogue.text("brand", index) or None,
        price_cents=int(catalogue.number("price_cents", index)) or None,
    )


def similar_items(bundle: Bundle, fresh: Fresh, item_id: str, kind: Kind, n_results: int) -> SimilarItems:
    """What can be bought now. Raises UnknownItemError."""
    index = bundle.catalogue.index(item_id)
    if not index:
        raise UnknownItemError(f"the catalogue holds no item {item_id!r}", pointer="/itemId")
    pairs = _neighbours(bundle, index, kind) if index <= bundle.n_items else _of_new(bundle, fresh, index, kind)
    if kind == "similar" and index <= bundle.n_items:
        pairs = _with_new(pairs, fresh, index)
    available = bundle.catalogue.is_available
    found = [scored_item(bundle, other, score) for other, score in pairs if available(other)]
    return SimilarItems(
        item_id=item_id,
        kind=kind,
        item_list=tuple(found[:n_results]),
        model_version=bundle.manifest.model_version,
    )


def _neighbours(bundle: Bundle, index: int, kind: Kind) -> list[tuple[int, float]]:
    nearest = bundle.neighbours[kind]
    pairs = zip(nearest.items[index].tolist(), nearest.scores[index].tolist(), strict=True)
    return [(other, score) for other, score in pairs if other]


def _with_new(pairs: list[tuple[int, float]], fresh: Fresh, index: int) -> list[tuple[int, float]]:
    """New items that are like it by their words: each with its cosine's share of the best score of the list."""
    best = pairs[0][1] if pairs else 1.0
    new = [(other, cosine * best) for other, cosine in zip(*(row.tolist() for row in fresh.like(index)), strict=True)]
    return sorted([*pairs, *new], key=lambda pair: -pair[1])


def _of_new(bundle: Bundle, fresh: Fresh, index: int, kind: Kind) -> list[tuple[int, float]]:
    """Of a new item: what it is like by its words; what goes with those, weighted by how alike they are."""
    alike = list(zip(*(row.tolist() for row in fresh.neighbours(index)), strict=True))
    if kind == "similar":
        return alike
    total: dict[int, float] = {}
    for other, cosine in alike:
        for companion, score in _neighbours(bundle, other, kind):
            total[companion] = total.get(companion, 0.0) + cosine * score
    return sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))


def trending_items(
    bundle: Bundle, category: str | None, n_results: int, gains: Mapping[str, float] | None
) -> TrendingItems:
    """What gains most right now, then the model's trend. gains: by item id; None: the counts could not be read."""
    listed = _listed(bundle.catalogue, category)
    rising = {bundle.catalogue.index(item): gain for item, gain in (gains or {}).items() if gain > 0}
    popular = bundle.popularity
    live = sorted(
        (index for index in rising if listed[index]),
        key=lambda index: (-rising[index], -popular[index] if index < len(popular) else 0.0, index),
    )[:n_results]
    trend = bundle.catalogue.numbers("trend")
    rest = [index for index in _by_model(bundle, listed).tolist() if index not in rising][: n_results - len(live)]
    pairs = [(index, rising[index]) for index in live] + [
        (index, 0.0 if live else float(trend[index])) for index in rest
    ]
    return TrendingItems(
        category=category,
        item_list=tuple(scored_item(bundle, index, score) for index, score in pairs),
        model_version=bundle.manifest.model_version,
        source="live" if live else "model",
        degraded=() if gains is not None else ("item_counts",),
    )


def _listed(catalogue: Catalogue, category: str | None) -> npt.NDArray[np.bool_]:
    """What may be shown, of the category if one is asked for. bool (n_items + 1,)"""
    listed = np.ones(len(catalogue.numbers("trend")), bool)
    if category is not None:
        names = catalogue.values("category")
        codes = [code for code in range(len(names)) if names[code] == category]
        listed &= np.isin(catalogue.codes("category"), codes)
    listed[0] = False
    listed[catalogue.unavailable] = False
    return listed


def _by_model(bundle: Bundle, listed: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Greatest trend first among items with at least 5 interactions in the last 7 days; ties by popularity."""
    catalogue = bundle.catalogue
    indices = np.flatnonzero(listed & (catalogue.numbers("n_events_7d") >= MIN_EVENTS_7D))
    return indices[np.lexsort((-bundle.popularity[indices], -catalogue.numbers("trend")[indices]))]


def scored_item(bundle: Bundle, index: int, score: float) -> ScoredItem:
    return ScoredItem(
        item_id=bundle.catalogue.item_id(index), score=score, metadata=item_metadata(bundle.catalogue, index)
    )
