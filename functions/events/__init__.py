"""POST /v1/events."""
