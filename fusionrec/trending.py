"""What gains most right now: how much more of late than its own usual, from counts that the consumer keeps.

A touch is (who, item, kind of event, hour of sentAt). It counts once, with the worth of its kind: so the counts are a
function of the set of events, whatever came late, twice, shuffled or again after a crash; and whoever hammers an item
adds no more than the sum of WORTH to it in an hour. Sessions without a user cost nothing to open: each speaks with one
of N_VOICES voices, by a hash of its id, and whatever it does is worth a view; so all of them together add no more than
N_VOICES to an item in an hour, still as a function of the set. The rule for late events: a touch counts if its hour
began at most KEPT_DAYS before it is absorbed, and no count that is older than KEPT_DAYS is ever read. So what is read
equals a sorted replay, without exception.

    late(i)  = Σ_hours worth(i, hour) · 2^(-age / 6 hours)           the last 48 hours
    usual(i) = Σ_days  worth(i, day) · 2^(-age / 7 days)             the last 28 days
    gain(i)  = log[(late(i) + m) / (expected(i) + m)]    expected(i) = usual(i) · (Σ_hours 2^…) / (24 Σ_days 2^…)

An age is that of the middle of its hour or day; the running one counts as far as it has run, and days before the first
that was counted do not. m = 5 keeps a handful of touches from looking like a trend.

source: exponentially decayed rates at two half-lives, as in Gruhl et al. 2004 and the moving-average crossover;
        the prior m is additive smoothing towards "as usual"
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from math import log
from typing import Final

from fusionrec.errors import StoreUnavailableError
from fusionrec.observability import logger
from fusionrec.ports import Clock, Interaction, ItemCounts, Touch
from fusionrec.state_keys import SESSION_PREFIX

HOUR_MS: Final = 3_600_000
DAY_HOURS: Final = 24
KEPT_DAYS: Final = 28
LATE_HOURS: Final = 48
LATE_HALF_LIFE_HOURS: Final = 6.0
USUAL_HALF_LIFE_DAYS: Final = 7.0
PRIOR: Final = 5.0
MIN_LATE: Final = 3.0  # decayed worth of late below which an item is not listed
WORTH: Final[Mapping[str, int]] = {"view": 1, "click": 1, "cart": 3, "purchase": 5, "rating": 1}  # a removal: none
N_VOICES: Final = 32  # of sessions without a user: what thousands of them say of an item in an hour is worth so much
VOICE: Final = "anonymous:"

READ_MS: Final = 300.0  # an answer does not wait longer for the counts
LATE_FRESH_S: Final = 10.0  # how old the counts of hours may be, and those of days
USUAL_FRESH_S: Final = 300.0
RETRY_S: Final = 5.0  # after the store did not answer, nobody asks again so long
STALE_S: Final = 900.0  # what was read earlier stands in for a store that is away, this long

Counts = Mapping[int, Mapping[str, int]]


def touches_of(events: Iterable[Interaction], now: datetime) -> list[Touch]:
    """What these events count for, each touch once, sorted. Copies that a log-in handed on count at their session."""
    oldest = int(now.timestamp() * 1000) // HOUR_MS - KEPT_DAYS * DAY_HOURS
    found = {
        Touch(*_who_and_what(event), event.sent_at // HOUR_MS)
        for event in events
        if event.event_type in WORTH and not event.handed
    }
    newest = oldest + (KEPT_DAYS + 2) * DAY_HOURS  # no accepted event lies further ahead
    kept = (touch for touch in found if oldest <= touch.hour <= newest)
    return sorted(kept, key=lambda touch: (touch.hour, touch.item_id, touch.event_type, touch.who))


def _who_and_what(event: Interaction) -> tuple[str, str, str]:
    """Who counts, the item, and as which kind of event."""
    if not event.user_id.startswith(SESSION_PREFIX):
        return event.user_id, event.item_id, event.event_type
    voice = sha256(event.user_id.encode("utf-8", "surrogatepass")).digest()[0] % N_VOICES
    return f"{VOICE}{voice}", event.item_id, "view"


def gains(hours: Counts, days: Counts, now_ms: int) -> dict[str, float]:
    """Item → gain, of all that have enough of late. hours, days: counts by hour and by day since 1970 UTC."""
    this_hour, now_hours = now_ms // HOUR_MS, now_ms / HOUR_MS
    today, now_days = this_hour // DAY_HOURS, now_hours / DAY_HOURS
    late, late_time = _decayed(hours, range(this_hour - LATE_HOURS + 1, this_hour + 1), now_hours, LATE_HALF_LIFE_HOURS)
    first = max(min(days, default=today), today - KEPT_DAYS + 1)
    usual, usual_time = _decayed(days, range(first, today + 1), now_days, USUAL_HALF_LIFE_DAYS)
    share = late_time / max(usual_time * DAY_HOURS, 1e-9)
    return {
        item: log((worth + PRIOR) / (usual.get(item, 0.0) * share + PRIOR))
        for item, worth in late.items()
        if worth >= MIN_LATE
    }


def _decayed(counts: Counts, periods: range, now: float, half_life: float) -> tuple[dict[str, float], float]:
    """Decayed sums by item, and the decayed time that they span, both in units of a period."""
    sums: dict[str, float] = {}
    time = 0.0
    for period in periods:
        ran = min(1.0, now - period)
        weight = 2.0 ** (-(now - period - ran / 2) / half_life)
        time += ran * weight
        for item, worth in counts.get(period, {}).items():
            sums[item] = sums.get(item, 0.0) + worth * weight
    return sums, time


@dataclass(slots=True)
class _Held:
    counts: Counts = field(default_factory=dict)
    last: int = 0
    read_at: float = float("-inf")  # s on the clock


class Trends:
    """Gains by item, read at most every few seconds, for all requests of a process."""

    def __init__(self, counts: ItemCounts, clock: Clock) -> None:
        self._counts, self._clock = counts, clock
        self._hours, self._days = _Held(), _Held()
        self._away_until = float("-inf")
        self._lock = threading.Lock()

    def gains(self) -> dict[str, float] | None:
        """None when the store does not answer, and did not for so long that what was read says nothing of now."""
        now = self._clock.now().timestamp()
        hour = int(now // 3600)
        with self._lock:
            try:
                if now >= self._away_until:
                    self._refresh(now, hour)
            except StoreUnavailableError as error:
                self._away_until = now + RETRY_S
                logger.warning("counts not read", extra={"detail": str(error)})
            if min(self._hours.read_at, self._days.read_at) < now - STALE_S:
                return None
            return gains(self._hours.counts, self._days.counts, int(now * 1000))

    def _refresh(self, now: float, hour: int) -> None:
        """Both within one deadline. Raises StoreUnavailableError."""
        deadline = self._clock.deadline(READ_MS)
        if now - self._hours.read_at >= LATE_FRESH_S or hour != self._hours.last:
            read = self._counts.hours(hour - LATE_HOURS + 1, hour, deadline)
            self._hours = _Held(read, hour, now)
        day = hour // DAY_HOURS
        if now - self._days.read_at >= USUAL_FRESH_S or day != self._days.last:
            read = self._counts.days(day - KEPT_DAYS + 1, day, deadline)
            self._days = _Held(read, day, now)
