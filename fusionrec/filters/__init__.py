"""What may be shown: decided before top-k, so that a filtered slate is still full."""
