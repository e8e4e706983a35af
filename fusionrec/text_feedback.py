"""Texts of accepted events: scored, counted for their item and its category, and a surge of ill will is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fusionrec import surge
from fusionrec.active_model import ActiveModel
from fusionrec.errors import StoreUnavailableError
from fusionrec.feature_spec import DAY_MS
from fusionrec.observability import logger
from fusionrec.ports import Clock, Interaction, SurgeAlarms, TextVotes
from fusionrec.state_keys import SESSION_PREFIX
from fusionrec.surge import Surge, Vote
from fusionrec.text.scoring import TextScore, TextScorer

ITEM: Final = "item:"
CATEGORY: Final = "category:"
ANONYMOUS: Final = "anonymous"  # all sessions without a user are one voter: anyone can open a thousand of them
TELL_WITHIN_DAYS: Final = 14.0  # older surges are history that was sent late, and nobody's alarm
WRITES: Final = 8  # tries to write one row beside other writers


@dataclass(frozen=True, slots=True)
class TextFeedback:
    """The use case. Absorbing the same texts again changes nothing and tells nothing new."""

    scorer: Callable[[], TextScorer]
    votes: TextVotes
    alarms: SurgeAlarms
    models: ActiveModel
    clock: Clock

    def absorb(self, events: Sequence[Interaction]) -> int:
        """How many texts were scored.

        raises: StoreUnavailableError, BundleError; absorbing all again is safe
        """
        found = [event for event in events if event.has_text]
        if not found:
            return 0
        catalogue = self.models.current().bundle.catalogue
        scores = self.scorer().score([event.text for event in found])
        categories = {e.item_id: catalogue.text("category", catalogue.index(e.item_id)) for e in found}
        for key, votes in votes_by_key(found, scores, categories).items():
            self._count(key, votes)
        return len(found)

    def _count(self, key: str, votes: Sequence[Vote]) -> None:
        for _ in range(WRITES):
            held = self.votes.read(key)
            before = surge.from_bytes(held)
            after = surge.fold(before, votes)
            if surge.to_bytes(after) == held:
                return
            # Told before it is written: a crash between the two tells it again under the same id, and loses none.
            for found in surge.fresh(before, after):
                self._tell(key, found)
            if self.votes.write(key, surge.to_bytes(after), replacing=held):
                return
        raise StoreUnavailableError("text_votes", f"{key} was written by others {WRITES} times")

    def _tell(self, key: str, found: Surge) -> None:
        age_days = self.clock.now().timestamp() / 86_400 - found.at / DAY_MS
        if age_days > TELL_WITHIN_DAYS:
            logger.info("a surge of the past", extra={"key": key, "at": found.at})
            return
        self.alarms.tell(alarm(key, found))


def votes_by_key(
    events: Sequence[Interaction], scores: Sequence[TextScore], categories: dict[str, str]
) -> dict[str, list[Vote]]:
    """For each item and each category the votes of these texts."""
    found: dict[str, list[Vote]] = {}
    for event, score in zip(events, scores, strict=True):
        voter = ANONYMOUS if event.user_id.startswith(SESSION_PREFIX) else event.user_id
        negative = score.sentiment == "negative"
        vote = Vote(event.sent_at, event.event_id, voter, negative, score.topics[0])
        found.setdefault(ITEM + event.item_id, []).append(vote)
        category = categories.get(event.item_id, "")
        if category:
            found.setdefault(CATEGORY + category, []).append(vote)
    return found


def alarm(key: str, found: Surge) -> dict[str, Any]:
    """The event `SentimentSurge`. It may come twice; `alarmId` tells."""
    kind, _, name = key.partition(":")
    return {
        "alarmId": f"{key}@{found.at}",
        "kind": kind,
        "name": name,
        "at": found.at,
        "negativeShare": found.share,
        "usualShare": found.usual_share,
        "nVoters": found.n_voters,
        "nNegative": found.n_negative,
        "z": found.z,
        "topic": found.topic,
    }
