"""Events from a client: each judged alone, the good ones handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from fusionrec.active_model import ActiveModel
from fusionrec.bundle.catalogue import Catalogue
from fusionrec.contracts.events import Event, EventsAnswer, EventsRequest, RejectedEvent
from fusionrec.contracts.problems import field_problem
from fusionrec.errors import StoreUnavailableError
from fusionrec.ports import Clock, EventLog, EventSink, Interaction, Message, SessionLink, UserFeatures
from fusionrec.session_state import SessionEvent, events_of, session_event
from fusionrec.state_keys import state_key

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
READ_MS: Final = 300.0  # for looking up what is known already
FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)  # what is older comes from a clock that was never set
MAX_AHEAD: Final = timedelta(days=1)  # a client's clock may be wrong by a time zone, not by more


@dataclass(frozen=True, slots=True)
class Ingester:
    """The use case of POST /v1/events."""

    sink: EventSink
    log: EventLog
    users: UserFeatures
    models: ActiveModel
    clock: Clock

    def ingest(self, request: EventsRequest) -> EventsAnswer:
        """Accept what is valid and new: into the log first, then on to the consumer, so that no feature rests on an
        event that the log lacks. Impressions go into the log only.

        A duplicate is found within the request and among the events that the user's session row still holds; later
        repetitions change nothing either, since the features are a function of the set of events.

        raises: StoreUnavailableError when the events could not be handed on, or one is on an item that is not known
                while what the shop told of items of late cannot be read; sending them again is safe
                BundleError when there is no catalogue to check items against
        """
        key = state_key(request.user_id, request.session_id) or ""
        catalogue = self._catalogue(request.event_list)
        state = self.users.read(key, self.clock.deadline(READ_MS))
        known = {event.event_id: event for event in events_of(state.session)}
        accepted: list[Interaction] = []
        rejected: list[RejectedEvent] = []
        duplicates = 0
        for index, raw in enumerate(request.event_list):
            verdict = self._judge(raw, key, request.session_id, catalogue, known)
            if isinstance(verdict, Interaction):
                accepted.append(verdict)
                known[verdict.event_id] = session_event(verdict)
            elif verdict is None:
                duplicates += 1
            else:
                rejected.append(RejectedEvent(index=index, code=verdict[0], detail=verdict[1]))
        if accepted:
            self._take(request, accepted)
        return EventsAnswer(accepted=len(accepted), duplicates=duplicates, rejected=tuple(rejected))

    def _catalogue(self, events: Sequence[Any]) -> Catalogue:
        """As it is now, where the one at hand lacks an item of these events. Raises StoreUnavailableError."""
        catalogue = self.models.current().bundle.catalogue
        named = {raw.get("itemId") for raw in events if isinstance(raw, Mapping)}
        unknown = [item for item in named if isinstance(item, str) and not catalogue.index(item)]
        if not unknown:
            return catalogue
        model = self.models.current(items_at_once=True)
        unknown = [item for item in unknown if not model.bundle.catalogue.index(item)]
        if unknown and model.missing:
            told = f"whether there is an item {unknown[0]!r} cannot be told now; send the same events again shortly"
            raise StoreUnavailableError(model.missing[0], f"{len(unknown)} items are not known", told=told)
        return model.bundle.catalogue

    def _take(self, request: EventsRequest, accepted: Sequence[Interaction]) -> None:
        received_at = int(self.clock.now().timestamp() * 1000)
        noted = [replace(event, received_at=received_at) for event in accepted]
        self.log.append(noted)
        acts: list[Message] = [event for event in noted if event.is_act]
        if request.user_id:  # both ids: the session's anonymous events are this user's
            newest = max(event.sent_at for event in noted)
            acts.append(SessionLink(request.session_id, request.user_id, newest))
        if acts:
            self.sink.put(acts)

    def _judge(
        self, raw: Any, key: str, session_id: str, catalogue: Catalogue, known: dict[str, SessionEvent]
    ) -> Interaction | tuple[str, str] | None:
        """The interaction, or why it is rejected (code, detail), or None for a duplicate."""
        try:
            event = Event.model_validate(raw)
        except ValidationError as error:
            return "invalid", _details(error.errors(include_url=False))
        if event.item_id is not None and not catalogue.index(event.item_id):
            return "unknown-item", f"the catalogue holds no item {event.item_id!r}"
        wrong_time = _wrong_time(event.sent_at, self.clock.now())
        if wrong_time:
            return wrong_time
        interaction = _interaction(event, key, session_id)
        earlier = known.get(event.event_id)
        if earlier is None:
            return interaction
        if earlier == session_event(interaction):
            return None
        return "event-id-reused", f"eventId {event.event_id!r} came before with another body; ids are unique"


def _wrong_time(sent_at: datetime, now: datetime) -> tuple[str, str] | None:
    """Code and detail, or None for a time that may be true."""
    if sent_at > now + MAX_AHEAD:
        return "sent-in-future", f"sentAt {sent_at.isoformat()} lies ahead; it is {now.isoformat()} here"
    if sent_at < FIRST <= now:  # a server over older data has an older clock
        return "sent-too-early", f"sentAt {sent_at.isoformat()} lies before the year {FIRST.year}"
    return None


def _interaction(event: Event, key: str, session_id: str) -> Interaction:
    return Interaction(
        event_id=event.event_id,
        user_id=key,
        session_id=session_id,
        item_id=event.item_id or "",
        event_type=event.event_type,
        sent_at=(event.sent_at - EPOCH) // timedelta(milliseconds=1),  # cut, not rounded, as in prepared data
        event_value=event.event_value,
        recommendation_id=event.recommendation_id or "",
        impression=event.impression,
        text=event.text or "",
        properties=event.properties,
    )


def _details(errors: Sequence[Any]) -> str:
    rows = [field_problem(error) for error in errors]
    return "; ".join(f"{row.pointer.lstrip('/') or 'event'}: {row.detail}" for row in rows)
