"""GET /v1/items/{itemId}/similar, GET /v1/trending."""
