"""The wire models, version 1: the source of `docs/openapi.json`. Names are camelCase on the wire."""
