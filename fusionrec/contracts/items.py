"""Items in answers, and the item-to-item endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from fusionrec.contracts.base import Answer, Request, SentAt

Kind = Literal["similar", "complement"]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=256)]
Pair = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]


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
    """Items that gain most.

    `live`: what is done with them of late, against their own usual; the score is the logarithm of the ratio. Items with
    a score of 0 fill the list by the model's trend. `model`: the daily rate of the last 7 days against that of the last
    30, as of the model's data.
    """

    category: str | None
    item_list: tuple[ScoredItem, ...]
    model_version: str
    source: Literal["live", "model"] = Field(description="what the ranking rests on")
    degraded: tuple[str, ...] = Field((), description="`item_counts`: what is counted now could not be read")


class ItemAttributes(Request):
    """What changes of an item: fields that are left out stay as they are, null says that nothing is known."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=512)] | None = Field(
        None, description="what a shopper reads"
    )
    category: Label | None = Field(None, description="the finer category, the one shown")
    department: Label | None = Field(None, description="the coarser category")
    brand: Label | None = None
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=5000)] | None = None
    attributes: tuple[Pair, ...] | None = Field(None, max_length=100, description="further `name=value` pairs")
    price_cents: Annotated[int, Field(strict=True, ge=0, le=10**12)] | None = Field(
        None, description="in hundredths of the shop's currency"
    )
    available: Annotated[bool, Field(strict=True)] = Field(True, description="false: it leaves all slates")
    updated_at: SentAt | None = Field(
        None, description="when the shop changed it: of each field the latest counts; left out: when it arrives"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set - {"updated_at"}:
            raise PydanticCustomError("empty", "send at least one attribute to change")
        return self


class UpsertedItem(Answer):
    """The item as it is now, whoever wrote what of it."""

    item_id: str
    metadata: ItemMetadata
    description: str | None = None
    attributes: tuple[str, ...] = ()
    available: bool
    updated_at: datetime | None = Field(description="the latest of the updates that count")
    in_model: bool = Field(description="the served model was trained with it; a new item waits for the next training")
    recommendable: bool = Field(
        description="it can be on slates now; a new item needs words or attributes that items of the model have, too"
    )
    like_items: tuple[ScoredItem, ...] = Field(description="a new item's place: the items it is taken to be like")
