"""Use cases on fakes and a real bundle, for the tests of the request path."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fusionrec.active_model import ActiveModel
from fusionrec.adapters.memory import FixedClock, MemoryBundles, MemoryFeatures, MemorySlates
from fusionrec.ports import Interaction
from fusionrec.recommend import Recommender

NOW = datetime(2026, 11, 1, tzinfo=UTC)  # the toy shop's
NOW_MS = int(NOW.timestamp() * 1000)
MINUTE_MS = 60_000


def active_model(folder: Path) -> ActiveModel:
    return ActiveModel(MemoryBundles({folder.name: folder}, folder.name))


def recommender(model: ActiveModel, users: MemoryFeatures, slates: MemorySlates) -> Recommender:
    return Recommender(users, model, slates, FixedClock(NOW))


def interaction(event_id: str, item_id: str, event_type: str = "purchase", **fields: Any) -> Interaction:
    given = {"user_id": "u", "session_id": "s", "sent_at": NOW_MS - MINUTE_MS, **fields}
    return Interaction(event_id=event_id, item_id=item_id, event_type=event_type, **given)
