"""Answers that need the bundle only: an item's neighbours, and what is trending."""

from __future__ import annotations

import numpy as np

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.bundle.loader import Bundle
from fusionrec.contracts.items import ItemMetadata, Kind, ScoredItem, SimilarItems, TrendingItems
from fusionrec.errors import UnknownItemError

MIN_EVENTS_7D = 5  # fewer say nothing about a trend


def item_metadata(catalogue: Catalogue, index: int) -> ItemMetadata:
    return ItemMetadata(
        name=catalogue.text("name", index) or None,
        category=catalogue.text("category", index) or None,
        department=catalogue.text("department", index) or None,
        brand=catalogue.text("brand", index) or None,
        price_cents=int(catalogue.numbers("price_cents")[index]) or None,
    )


def similar_items(bundle: Bundle, item_id: str, kind: Kind, n_results: int) -> SimilarItems:
    """Raises UnknownItemError."""
    index = bundle.catalogue.index(item_id)
    if not index:
        raise UnknownItemError(f"the catalogue holds no item {item_id!r}", pointer="/itemId")
    nearest = bundle.neighbours[kind]
    pairs = zip(nearest.items[index].tolist(), nearest.scores[index].tolist(), strict=True)
    found = [_scored(bundle, other, score) for other, score in pairs if other]
    return SimilarItems(
        item_id=item_id,
        kind=kind,
        item_list=tuple(found[:n_results]),
        model_version=bundle.manifest.model_version,
    )


def trending_items(bundle: Bundle, category: str | None, n_results: int) -> TrendingItems:
    """Greatest trend first among items with at least 5 interactions in the last 7 days; ties by popularity."""
    catalogue = bundle.catalogue
    trend = catalogue.numbers("trend")
    listed = catalogue.numbers("n_events_7d") >= MIN_EVENTS_7D
    if category is not None:
        names = catalogue.values("category")
        codes = [code for code in range(len(names)) if names[code] == category]
        listed &= np.isin(catalogue.codes("category"), codes)
    listed[0] = False
    indices = np.flatnonzero(listed)
    order = np.lexsort((-bundle.popularity[indices], -trend[indices]))[:n_results]
    return TrendingItems(
        category=category,
        item_list=tuple(_scored(bundle, index, float(trend[index])) for index in indices[order].tolist()),
        model_version=bundle.manifest.model_version,
    )


def _scored(bundle: Bundle, index: int, score: float) -> ScoredItem:
    return ScoredItem(
        item_id=bundle.catalogue.item_id(index), score=score, metadata=item_metadata(bundle.catalogue, index)
    )
