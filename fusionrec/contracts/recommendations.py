"""POST /v1/recommendations: the request and its slate."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from fusionrec.contracts.base import Answer, ItemId, Request, SessionId, UserId
from fusionrec.contracts.items import ItemMetadata

ScenarioName = Literal["home", "product", "cart", "email"]

# Fields of the contract that this version does not serve yet: refused by name, never ignored.
PLANNED_FIELDS: Final = frozenset({"filter", "filterValues", "context", "promotions", "nextToken"})


class RecommendationRequest(Request):
    """Whom the slate is for, and its shape. All may be left out: the answer is then the cold-start slate."""

    user_id: UserId | None = None
    session_id: SessionId | None = Field(None, description="for a visitor without userId: whose events are meant")
    item_id: ItemId | None = Field(None, description="the item page one is on; never part of the slate")
    recent_item_ids: tuple[ItemId, ...] = Field(
        (), max_length=200, description="items just looked at, oldest first; unknown ones do not count"
    )
    scenario: ScenarioName = "home"
    num_results: Annotated[int, Field(strict=True, ge=1, le=100)] = 20
    exclude_item_ids: tuple[ItemId, ...] = Field((), max_length=1000, description="never part of the slate")
    diversity: Annotated[float, Field(strict=True, ge=0, le=1)] = Field(
        0.0, description="0 ranks by score alone; towards 1 each further item of a category (or attribute) counts less"
    )
    explain: Annotated[bool, Field(strict=True)] = Field(False, description="adds contributions to each item")
    budget_ms: Annotated[int, Field(strict=True, ge=10, le=10_000)] = Field(
        1000, description="stages are given up so that the answer arrives within this time"
    )


class RecommendedItem(Answer):
    item_id: str
    score: float = Field(description="compare within one answer only")
    reasons: tuple[str, ...] = Field(description="for shoppers; true of this user and item, the weightiest first")
    contributions: dict[str, float] | None = Field(
        None, description="only with explain: what each part added; they sum to the score"
    )
    metadata: ItemMetadata


class Recommendations(Answer):
    recommendation_id: str = Field(description="send it with the events that this slate causes")
    item_list: tuple[RecommendedItem, ...]
    model_version: str
    as_of_event_id: str | None = Field(description="the newest event of this user that the slate knows")
    degraded: tuple[str, ...] = Field(description="what was missing or given up, empty when all is well")
