"""How long each stage of a request took, for the `Server-Timing` header."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Collects durations; one per request."""

    def __init__(self) -> None:
        self.durations_ms: dict[str, float] = {}
        self._started = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - started) * 1000
            self.durations_ms[name] = self.durations_ms.get(name, 0.0) + spent

    @property
    def server_timing(self) -> str:
        """W3C Server-Timing, the total last."""
        total = (time.perf_counter() - self._started) * 1000
        return ", ".join(f"{name};dur={ms:.2f}" for name, ms in {**self.durations_ms, "total": total}.items())
