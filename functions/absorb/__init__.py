"""The consumer of the event queue."""
