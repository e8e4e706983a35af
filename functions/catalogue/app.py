"""PUT /v1/items/{itemId}: a new or changed item, on slates within seconds."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.event_handler.openapi.params import Path

from functions import http, wiring
from fusionrec.contracts.base import ItemId
from fusionrec.contracts.items import ItemAttributes, UpsertedItem

app = http.resolver({"/v1/items/<item_id>": "PUT"})


@app.put(
    "/v1/items/<item_id>",
    tags=["items"],
    summary="Tell of a new item, or of what changed of a known one",
    response_description="The item as it is now; 201 when nobody had told of it before",
)
def upsert(item_id: Annotated[ItemId, Path()], request: ItemAttributes) -> Response[UpsertedItem]:
    http.refuse_unknown_query(app, ())
    http.require_scope(app, "catalogue:write")
    item, created = wiring.item_writer().put(item_id, request)
    return Response(201 if created else 200, content_types.APPLICATION_JSON, item)


handler = http.handler(app)
