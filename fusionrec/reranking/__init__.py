"""From a ranking to a slate."""
