"""GET /v1/users/{userId}/profile."""
