"""The slate log as lines of the function's own log, where no stream is configured; and an event log that is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fusionrec.observability import logger
from fusionrec.ports import Interaction


class SlateLines:
    """One structured line a slate."""

    def record(self, slate: Mapping[str, Any]) -> None:
        logger.info("slate", extra={"slate": slate})


class NoEventLog:
    """Events are not logged raw where no stream is configured: their texts have no place in a function's log."""

    def append(self, events: Sequence[Interaction]) -> None:
        logger.warning("no raw event log is configured", extra={"n_events": len(events)})
