"""Is an item, or a category, suddenly spoken ill of? A pure function of the set of scored texts.

One vote a user: the newest text of each counts, so a flood by one user is one vote, and all anonymous sessions together
are one user. The newest MAX_VOTES voters of the last WINDOW_DAYS are kept, counted back from the newest text. Both are
"the greatest of a set", which merging in any order, batches or repetition preserves; so the votes, and the surges that
follow from them, do not depend on how the texts came.

The rule, at the time of each vote: the share of negative votes in the last RECENT_DAYS, newer ones weighing more, is
compared with that of the HISTORY_DAYS before them. A surge needs MIN_NEGATIVE negative voters now, MIN_HISTORY voters
before, a share at least MIN_RISE higher, and a one-sided z-test of two shares beyond MIN_Z, with Kish's effective size
for decayed counts. After a surge the next COOL_DOWN_DAYS bring none.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fusionrec.feature_spec import DAY_MS
from fusionrec.text.scoring import TOPICS

MAX_VOTES: Final = 4000  # 25 bytes each: a row of 100 kB at most
RECENT_DAYS: Final = 3.0
RECENT_HALF_LIFE_DAYS: Final = 1.5
HISTORY_DAYS: Final = 90.0
HISTORY_HALF_LIFE_DAYS: Final = 30.0
WINDOW_DAYS: Final = HISTORY_DAYS + 10.0
MIN_NEGATIVE: Final = 5
MIN_HISTORY: Final = 10
MIN_RISE: Final = 0.15
MIN_Z: Final = 4.0
COOL_DOWN_DAYS: Final = 7.0

VOTE: Final = np.dtype(
    [("sent_at", "<i8"), ("event", "<u8"), ("negative", "<u1"), ("topic", "<u1"), ("voter", "<u8")]
)  # ordered by its fields, so the greatest of a voter's votes is its newest
Votes = npt.NDArray[np.void]  # (V,) of VOTE, oldest first, one a voter
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Vote:
    """What one text says of one thing. sent_at: ms since 1970 UTC."""

    sent_at: int
    event_id: str
    voter: str
    negative: bool
    topic: str


@dataclass(frozen=True, slots=True)
class Surge:
    """at: ms since 1970 UTC, of the vote that made it; shares of negative votes, decayed; z: of the test."""

    at: int
    share: float
    usual_share: float
    n_voters: int
    n_negative: int
    z: float
    topic: str  # what most of the negative votes are about


@dataclass(frozen=True, slots=True)
class Shares:
    """At the time of each vote: shares (V,), effective sizes (V,), voters and negative voters of the recent days."""

    recent: Floats
    usual: Floats
    n_recent: npt.NDArray[np.int64]
    n_negative: npt.NDArray[np.int64]
    n_usual: npt.NDArray[np.int64]
    z: Floats


def no_votes() -> Votes:
    return np.zeros(0, VOTE)


def fold(held: Votes, votes: Iterable[Vote]) -> Votes:
    """The votes after these; the same whatever their order, repetition or batches."""
    rows = [(v.sent_at, _digest(v.event_id), v.negative, TOPICS.index(v.topic), _digest(v.voter)) for v in votes]
    ordered = np.sort(np.concatenate([held, np.array(rows, VOTE)]))
    _, from_the_end = np.unique(ordered["voter"][::-1], return_index=True)
    newest = np.sort(ordered[len(ordered) - 1 - from_the_end])[-MAX_VOTES:]
    if len(newest):
        newest = newest[newest["sent_at"] > newest["sent_at"][-1] - int(WINDOW_DAYS * DAY_MS)]
    return newest


def to_bytes(votes: Votes) -> bytes:
    return votes.tobytes()


def from_bytes(data: bytes) -> Votes:
    return np.frombuffer(data, VOTE)


def surges(votes: Votes) -> list[Surge]:
    """Oldest first."""
    shares = shares_at_each(votes)
    passes = (
        (shares.n_negative >= MIN_NEGATIVE)
        & (shares.n_usual >= MIN_HISTORY)
        & (shares.recent - shares.usual >= MIN_RISE)
        & (shares.z >= MIN_Z)
        & (votes["negative"] == 1)  # a kind word makes no surge
    )
    found: list[Surge] = []
    for place in np.flatnonzero(passes).tolist():
        at = int(votes["sent_at"][place])
        if not found or at >= found[-1].at + COOL_DOWN_DAYS * DAY_MS:
            found.append(_surge(votes, shares, place))
    return found


def fresh(before: Votes, after: Votes) -> list[Surge]:
    """Surges of `after` that `before` does not tell of: neither the same, nor one within its cool-down.

    A late text may move a surge by some hours; it is the same one, and is not told twice.
    """
    told = [surge.at for surge in surges(before)]
    quiet = COOL_DOWN_DAYS * DAY_MS
    return [surge for surge in surges(after) if not any(abs(surge.at - at) < quiet for at in told)]


def shares_at_each(votes: Votes) -> Shares:
    days = (votes["sent_at"] - (votes["sent_at"][0] if len(votes) else 0)) / DAY_MS
    negative = votes["negative"].astype(np.float64)
    last = np.arange(1, len(votes) + 1)
    begin = np.searchsorted(days, days - RECENT_DAYS, side="right")
    before = np.searchsorted(days, days - RECENT_DAYS - HISTORY_DAYS, side="right")
    recent, n_recent = _decayed(days, negative, begin, last, RECENT_HALF_LIFE_DAYS)
    usual, n_usual = _decayed(days, negative, before, begin, HISTORY_HALF_LIFE_DAYS)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Two votes more, one of them negative: a history without a negative vote is no proof that there are none.
        smooth = (usual * n_usual + 1.0) / (n_usual + 2.0)
        pooled = (recent * n_recent + smooth * (n_usual + 2.0)) / (n_recent + n_usual + 2.0)
        z = (recent - smooth) / np.sqrt(pooled * (1 - pooled) * (1 / n_recent + 1 / (n_usual + 2.0)))
    counted = np.concatenate([[0], np.cumsum(votes["negative"], dtype=np.int64)])
    return Shares(recent, usual, last - begin, counted[last] - counted[begin], begin - before, np.nan_to_num(z))


def _decayed(
    days: Floats, negative: Floats, begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64], half_life: float
) -> tuple[Floats, Floats]:
    """Share and effective size of the votes begin..end, each weighing half as much after `half_life` days."""
    growth = np.exp2(days / half_life)  # at most 2^67: the window bounds it

    def total(weights: Floats) -> Floats:
        sums = np.concatenate([[0.0], np.cumsum(weights)])
        return np.asarray(np.maximum(sums[end] - sums[begin], 0.0))

    weight = total(growth)
    with np.errstate(invalid="ignore", divide="ignore"):
        share, size = total(growth * negative) / weight, weight**2 / total(growth**2)
    return np.asarray(np.nan_to_num(share)), np.asarray(np.nan_to_num(size))


def _surge(votes: Votes, shares: Shares, place: int) -> Surge:
    recent = votes[place + 1 - int(shares.n_recent[place]) : place + 1]
    topics = Counter(recent["topic"][recent["negative"] == 1].tolist())
    topic = min(topics, key=lambda number: (-topics[number], number))
    return Surge(
        at=int(votes["sent_at"][place]),
        share=round(float(shares.recent[place]), 3),
        usual_share=round(float(shares.usual[place]), 3),
        n_voters=int(shares.n_recent[place]),
        n_negative=int(shares.n_negative[place]),
        z=round(float(shares.z[place]), 2),
        topic=TOPICS[topic],
    )


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
