"""PUT /v1/items/{itemId}."""
