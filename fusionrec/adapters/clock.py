"""Time: the true clock, and a replay clock that starts where a data set of the past ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fusionrec.ports import Deadline


class Countdown:
    """Counts a budget down on the monotonic clock."""

    def __init__(self, budget_ms: float, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._ends = timer() + budget_ms / 1000

    def remaining_ms(self) -> float:
        return (self._ends - self._timer()) * 1000


class SystemClock:
    """The true time, or shifted so that it was `starts_at` when this clock was made."""

    def __init__(self, starts_at: datetime | None = None) -> None:
        self._shift = starts_at - datetime.now(UTC) if starts_at else timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._shift

    def deadline(self, budget_ms: float) -> Deadline:
        return Countdown(budget_ms)
