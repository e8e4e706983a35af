"""The slate log as lines of the function's own log, where no stream is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionrec.observability import logger


class SlateLines:
    """One structured line a slate."""

    def record(self, slate: Mapping[str, Any]) -> None:
        logger.info("slate", extra={"slate": slate})
