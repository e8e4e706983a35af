"""POST /v1/events: what shoppers did."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from fusionrec.contracts.base import Answer, EventId, ItemId, Request, SentAt, SessionId, UserId

EventType = Literal["view", "click", "cart", "purchase", "rating", "removal", "impression"]
ShortText = Annotated[str, StringConstraints(max_length=256)]


class Event(Request):
    """One interaction, or one impression: what was rendered. The same eventId with the same body is a duplicate."""

    event_id: EventId
    event_type: EventType
    item_id: ItemId | None = Field(None, description="what was acted on; all but impressions need it")
    event_value: Annotated[float, Field(strict=True, ge=0, le=1e9, allow_inf_nan=False)] = Field(
        1.0, description="quantity of a purchase, stars of a rating"
    )
    sent_at: SentAt = Field(description="when it happened; may be late, never more than a day ahead")
    impression: tuple[ItemId, ...] = Field(
        (), max_length=100, description="the items that were on display, in the order of their places"
    )
    recommendation_id: ShortText | None = Field(None, description="the slate that led to it")
    properties: dict[ShortText, ShortText] = Field(default_factory=dict, max_length=20)
    text: Annotated[str, StringConstraints(max_length=2000)] | None = None

    @model_validator(mode="after")
    def _item_or_impression(self) -> Self:
        if self.event_type == "impression":
            if self.item_id is not None or not self.impression:
                raise PydanticCustomError("impression", "an impression has the field impression and no itemId")
        elif self.item_id is None:
            raise PydanticCustomError("item_id", "itemId is required for {type}", {"type": f"a {self.event_type}"})
        return self


class EventsRequest(Request):
    """Up to 100 events of one user or one visitor's session; each is judged alone."""

    user_id: UserId | None = None
    session_id: SessionId
    # Judged one by one, so that one bad event does not lose the others.
    event_list: Annotated[
        list[Any], WithJsonSchema({"type": "array", "items": Event.model_json_schema(), "minItems": 1, "maxItems": 100})
    ] = Field(min_length=1, max_length=100)


class RejectedEvent(Answer):
    index: int = Field(description="place in eventList, from 0")
    code: str
    detail: str


class EventsAnswer(Answer):
    accepted: int
    duplicates: int
    rejected: tuple[RejectedEvent, ...]
