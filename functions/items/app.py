"""GET /v1/items/{itemId}/similar and GET /v1/trending: from the bundle, and from what is counted now."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from functions import http, wiring
from fusionrec.catalogue_answers import similar_items, trending_items
from fusionrec.contracts.base import ItemId
from fusionrec.contracts.items import Kind, SimilarItems, TrendingItems

app = http.resolver({"/v1/items/<item_id>/similar": "GET", "/v1/trending": "GET"})

NumResults = Annotated[int, Query(alias="numResults", ge=1, le=50, description="length of the list")]


@app.get("/v1/items/<item_id>/similar", tags=["items"], summary="Items like this one, or bought together with it")
def similar(
    item_id: Annotated[ItemId, Path()],
    kind: Annotated[Kind, Query()] = "similar",
    num_results: NumResults = 20,
) -> SimilarItems:
    http.refuse_unknown_query(app, ("kind", "numResults"))
    model = wiring.catalogues().current()
    return similar_items(model.bundle, model.fresh, item_id, kind, num_results)


@app.get("/v1/trending", tags=["items"], summary="What gains most right now, by category if asked")
def trending(
    category: Annotated[str | None, Query(max_length=256)] = None,
    num_results: NumResults = 20,
) -> TrendingItems:
    http.refuse_unknown_query(app, ("category", "numResults"))
    gains = wiring.trends().gains()
    return trending_items(wiring.catalogues().current().bundle, category, num_results, gains)


handler = http.handler(app)
