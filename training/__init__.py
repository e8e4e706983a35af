"""Data preparation, models, fusion, evaluation and export: everything that runs before a request."""
