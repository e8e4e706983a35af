"""Accepted events into features: one read and one write a user, newest wins; and the queue's consumer around it.

What was done in a session before its user logged in becomes the user's. The row of a session has one writer, and that
writer hands events on: when a link comes, all that the row holds; when a late event comes, that event to every user
who is linked. Each step may be repeated, so a crash between any two of them loses and doubles nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from fusionrec.errors import BadInputError, StoreUnavailableError
from fusionrec.feature_spec import USER_SESSION
from fusionrec.messages import from_message
from fusionrec.observability import logger
from fusionrec.ports import (
    Clock,
    DeadLetters,
    EventSink,
    Interaction,
    ItemCounts,
    Message,
    Row,
    SessionLink,
    SessionLinks,
    SessionWriter,
    UserFeatures,
)
from fusionrec.session_state import absorb_events, events_of
from fusionrec.state_keys import SESSION_PREFIX
from fusionrec.trending import touches_of

READ_MS: Final = 5000.0  # nobody waits for it; giving up only means that the queue delivers again
MAX_ATTEMPTS: Final = 30  # deliveries before a message is given up while stores are away; template.yaml has it, too
FAILED_ATTEMPTS: Final = 5  # the same where they are there: what went wrong so often will again
BATCH_MS: Final = 8_000.0  # nothing more of a batch is tried then: the function must answer before it is stopped
MAX_USERS: Final = 20  # a session id of more users is no person's session, and joins nobody any more


@dataclass(frozen=True, slots=True)
class Absorber:
    """Folds events into the user_session rows. Its reader must be strongly consistent and know no expiry."""

    users: UserFeatures
    sessions: SessionWriter
    clock: Clock
    links: SessionLinks | None = None  # None: sessions stay by themselves
    counts: ItemCounts | None = None  # None: nothing is counted for what is trending

    def absorb(self, key: str, messages: Sequence[Message], onward: EventSink | None = None) -> None:
        """All messages of one group: of a user, or of a session without one (`session:` and its id).

        onward: takes events that become those of a user
        raises: StoreUnavailableError; absorbing all again is safe
        """
        self._absorb(key, messages, onward)
        if self.counts is not None:
            self._count([message for message in messages if isinstance(message, Interaction)], self.counts)

    def _count(self, acts: Sequence[Interaction], counts: ItemCounts) -> None:
        """Last, and what goes wrong ends here: what is trending holds up nobody's session. A replay counts again."""
        try:
            if touches := touches_of(acts, self.clock.now()):
                counts.add(touches)
        except StoreUnavailableError as error:
            logger.error("touches not counted", extra={"n_events": len(acts), "detail": str(error)})

    def _absorb(self, key: str, messages: Sequence[Message], onward: EventSink | None) -> None:
        events = [message for message in messages if isinstance(message, Interaction)]
        if not key.startswith(SESSION_PREFIX) or self.links is None or onward is None:
            if events:
                self._fold(key, events)
            return
        session_id = key.removeprefix(SESSION_PREFIX)
        linked = self.links.users(session_id)
        links = {link.user_id: link for link in messages if isinstance(link, SessionLink)}
        joining = {user: link for user, link in links.items() if user not in linked}
        if not events and not joining:
            return
        row = self._fold(key, events)
        if len(linked) + len(joining) > MAX_USERS:
            logger.warning("session joins nobody: too many users", extra={"n_users": len(linked) + len(joining)})
            return
        held = _of_row(row, session_id) if joining else []
        given = [_handed(event, user) for user in sorted(linked) for event in events if event.is_act]
        given += [_handed(event, user) for user in sorted(joining) for event in held]
        if given:
            onward.put(given)
        for user, link in sorted(joining.items()):
            self.links.add(session_id, user, link.sent_at)  # last: a crash before it hands all on again

    def _fold(self, key: str, events: Sequence[Interaction]) -> Row:
        state = self.users.read(key, self.clock.deadline(READ_MS))
        if USER_SESSION.name in state.missing:
            # Writing onto a default row would forget the user's other events.
            raise StoreUnavailableError(USER_SESSION.name, "the session row could not be read")
        row = absorb_events(state.session, events)
        if row != state.session:
            # The queue gives a row one writer at a time; a replay may be another: the row must still be the one read.
            at = int(cast(int, row["last_event_at"]))
            self.sessions.write(key, row, at, replacing=state.session)
        return row


def _of_row(row: Row, session_id: str) -> list[Interaction]:
    """What the session's row holds, as events; enough for the state, which keeps no more of an event."""
    return [
        Interaction(event.event_id, "", session_id, event.item_id, event.event_type, event.sent_at, event.event_value)
        for event in events_of(row)
    ]


def _handed(event: Interaction, user_id: str) -> Interaction:
    return Interaction(
        event.event_id, user_id, event.session_id, event.item_id, event.event_type, event.sent_at, event.event_value,
        handed=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as the queue delivers it."""

    message_id: str
    body: str
    group: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Consumer:
    """Takes batches off the queue."""

    absorber: Absorber
    onward: EventSink
    dead_letters: DeadLetters

    def consume(self, batch: Sequence[Delivery]) -> list[str]:
        """Ids of the messages that are to be delivered again.

        One read and one write a user; a user whose write fails fails alone, with all its messages of this batch. What
        cannot be read never will be: it goes to the dead letters at once, and does not hold up its group. What failed
        for the last time goes there with the reason, instead of leaving by the queue's own rule without one. While
        stores are silent each user takes seconds: those whose turn does not come within BATCH_MS are delivered again.
        """
        deadline = self.absorber.clock.deadline(BATCH_MS)
        failed: list[str] = []
        by_group: dict[str, list[tuple[Delivery, Message]]] = {}
        for delivery in batch:
            try:
                message = from_message(delivery.body)
            except BadInputError as error:
                failed += self._give_up([delivery], "unreadable", str(error))
            else:
                by_group.setdefault(message.group, []).append((delivery, message))
        for group, messages in by_group.items():
            try:
                if deadline.remaining_ms() <= 0:
                    raise StoreUnavailableError("batch", "no time left for these events")
                self.absorber.absorb(group, [message for _, message in messages], self.onward)
            except StoreUnavailableError as error:
                failed += self._retry([d for d, _ in messages], MAX_ATTEMPTS, "unavailable", str(error))
            except Exception as error:  # what is wrong with one user's row or events must not hold up the others
                logger.exception("events not absorbed", extra={"n_events": len(messages)})
                detail = f"{type(error).__name__}: {error}"
                failed += self._retry([d for d, _ in messages], FAILED_ATTEMPTS, "failed", detail)
        return failed

    def _retry(self, deliveries: Sequence[Delivery], at_most: int, reason: str, detail: str) -> list[str]:
        logger.error("events not absorbed", extra={"n_events": len(deliveries), "reason": reason, "detail": detail})
        last = [delivery for delivery in deliveries if delivery.attempt >= at_most]
        again = [delivery.message_id for delivery in deliveries if delivery.attempt < at_most]
        return again + self._give_up(last, reason, detail)

    def _give_up(self, deliveries: Sequence[Delivery], reason: str, detail: str) -> list[str]:
        """Ids of those that the dead letters did not take: the queue keeps them."""
        kept: list[str] = []
        for delivery in deliveries:
            extra = {"message_id": delivery.message_id, "reason": reason, "detail": detail}
            try:
                self.dead_letters.put(delivery.body, delivery.group, reason, detail)
                logger.error("message given up", extra=extra)
            except StoreUnavailableError:
                logger.exception("message could not be given up", extra=extra)
                kept.append(delivery.message_id)
        return kept
