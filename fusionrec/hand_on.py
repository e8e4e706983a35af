"""Texts leave the way of an event here: after its features are written, and without a say in whether they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fusionrec.errors import BadInputError, FusionrecError
from fusionrec.messages import from_message
from fusionrec.observability import logger
from fusionrec.ports import EventSink, Interaction, Message, TextSink


class ScoresTexts(Protocol):
    """Scores what carries words."""

    def absorb(self, events: Sequence[Interaction]) -> int: ...


def hand_on(sink: TextSink, messages: Sequence[Message]) -> None:
    """Texts that the sink does not take are logged, and stay in the raw log: `fusionrec events sentiment` counts them.

    They fail nothing: a session's features must not wait for a review to be scored.
    """
    texts = [message for message in messages if isinstance(message, Interaction) and message.has_text]
    if not texts:
        return
    try:
        sink.put(texts)
    except FusionrecError as error:
        logger.error("texts not handed on", extra={"n_texts": len(texts), "detail": str(error)})


def readable(bodies: Sequence[str]) -> list[Message]:
    """The messages that can be read; the consumer has put the others away."""
    found: list[Message] = []
    for body in bodies:
        if '"text":"","properties"' not in body:  # most events carry none: they are not parsed a second time
            try:
                found.append(from_message(body))
            except BadInputError:
                continue
    return found


@dataclass(frozen=True, slots=True)
class DirectTexts:
    """Instead of a queue: scored at once, in this process."""

    feedback: ScoresTexts

    def put(self, events: Sequence[Interaction]) -> None:
        self.feedback.absorb(events)


@dataclass(frozen=True, slots=True)
class SinkWithTexts:
    """A sink that absorbs at once, and hands the texts on when it is done."""

    inner: EventSink
    texts: TextSink

    def put(self, messages: Sequence[Message]) -> None:
        self.inner.put(messages)
        hand_on(self.texts, messages)
