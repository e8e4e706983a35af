"""Items in answers, and the item-to-item endpoints."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fusionrec.contracts.base import Answer

Kind = Literal["similar", "complement"]


class ItemMetadata(Answer):
    """What a shopper reads; null where the shop's data do not say."""

    name: str | None = None
    category: str | None = None
    department: str | None = None
    brand: str | None = None
    price_cents: int | None = Field(None, description="last price, in hundredths of the shop's currency")


class ScoredItem(Answer):
    item_id: str
    score: float = Field(description="compare within one answer only")
    metadata: ItemMetadata


class SimilarItems(Answer):
    """`similar`: items that the same shoppers choose between; `complement`: items bought together with it."""

    item_id: str
    kind: Kind
    item_list: tuple[ScoredItem, ...]
    model_version: str


class TrendingItems(Answer):
    """Items that gain most: the daily rate of the last 7 days against that of the last 30."""

    category: str | None
    item_list: tuple[ScoredItem, ...]
    model_version: str
