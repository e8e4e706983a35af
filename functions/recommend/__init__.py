"""POST /v1/recommendations, health and the API description."""
