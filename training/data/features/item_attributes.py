"""item_attributes: what is written about an item. It has no time of its own: the same row at every cut-off."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fusionrec.feature_spec import ITEM_ATTRIBUTES
from training.data.features.common import Shop, as_view


def item_attributes(shop: Shop, cutoff: datetime) -> Any:
    """One row per item of the catalogue, also those that nobody touched yet."""
    return as_view(shop.items, ITEM_ATTRIBUTES, cutoff)
