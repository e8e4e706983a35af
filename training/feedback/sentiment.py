"""What texts say of items and categories, from the raw log: shares, trend and surges, as the live votes would be.

Reads the log and not the live rows: it is the same function of the same set, and knows also what was never handed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from fusionrec.event_log import from_record
from fusionrec.ports import Interaction
from fusionrec.surge import Surge, Vote, fold, no_votes, shares_at_each, surges
from fusionrec.text.scoring import TextScorer
from fusionrec.text_feedback import votes_by_key
from training.feedback.log import Gathered, Log, Report, Window, gather

AT_ONCE = 512  # texts scored between two looks of the progress bar


@dataclass(frozen=True, slots=True)
class Opinion:
    """Of one item or category. share, usual_share: decayed, at the newest text; surges: oldest first."""

    key: str
    n_voters: int
    n_negative: int
    share: float
    usual_share: float
    surges: tuple[Surge, ...]

    @property
    def trend(self) -> float:
        return self.share - self.usual_share


def opinions(
    log: Log, window: Window, categories: Mapping[str, str], scorer: TextScorer, scratch: Path, report: Report
) -> tuple[list[Opinion], Gathered]:
    """Those with a surge first, then the most spoken of, and what was read. categories: item → category.

    raises: DataError
    """
    gathered = gather(log, window, scratch, report)
    texts = _texts(gathered.parts)
    votes: dict[str, list[Vote]] = {}
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        scores = scorer.score([event.text for event in some])
        for key, found in votes_by_key(some, scores, dict(categories)).items():
            votes.setdefault(key, []).extend(found)
        report("scoring texts", min(start + AT_ONCE, len(texts)), len(texts))
    rows = [opinion(key, found) for key, found in votes.items()]
    return sorted(rows, key=lambda row: (not row.surges, -row.n_voters, row.key)), gathered


def opinion(key: str, votes: Sequence[Vote]) -> Opinion:
    held = fold(no_votes(), votes)
    shares = shares_at_each(held)
    return Opinion(
        key=key,
        n_voters=len(held),
        n_negative=int(held["negative"].sum()),
        share=float(shares.recent[-1]),
        usual_share=float(shares.usual[-1]),
        surges=tuple(surges(held)),
    )


def _texts(parts: Sequence[Path]) -> list[Interaction]:
    """Acts with words; a table of the log is read with its filter, since few events carry any."""
    found: list[Interaction] = []
    for part in parts:
        rows = pq.read_table(part, filters=[("text", "!=", "")]).to_pylist()
        found += [event for event in map(from_record, rows) if event.has_text]
    return found
