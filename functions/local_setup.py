"""The environment of local serving: quiet metrics, a log for people, and the clock of a data set of the past."""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from fusionrec.errors import DataError

FRESH: Final = timedelta(days=7)  # data that end later than so long ago are served on the true clock


def configure(env: MutableMapping[str, str] = os.environ) -> None:
    """Fill in what is not set. Call it before the handlers are imported: Powertools reads the environment then."""
    defaults = {
        "POWERTOOLS_SERVICE_NAME": "fusionrec",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "POWERTOOLS_LOG_LEVEL": "ERROR",
    }
    for name, value in defaults.items():
        env.setdefault(name, value)
    folder = Path(env.get("FUSIONREC_HOME", "data")) / env.get("FUSIONREC_DATASET", "completejourney")
    ends = data_end(folder)
    if ends is not None and datetime.now(UTC) - ends > FRESH:
        env.setdefault("FUSIONREC_CLOCK_STARTS_AT", ends.isoformat())


def data_end(folder: Path) -> datetime | None:
    """When the data set's last event was sent; None without a data set. Raises DataError."""
    path = folder / "dataset.json"
    if not path.is_file():
        return None
    try:
        text = json.loads(path.read_text())["cutoffs"]["data_end"]
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); prepare the data set again", pointer=str(path)) from None
