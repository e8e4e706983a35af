"""The toy shop with an item log: item k has brand (k - 1) % 7, and shares it with item k + 7 at most."""

from __future__ import annotations

from pathlib import Path

from fusionrec.active_model import ActiveModel
from fusionrec.adapters.memory import FixedClock, MemoryBundles, MemoryObjects
from fusionrec.contracts.items import ItemAttributes, UpsertedItem
from fusionrec.item_log import ItemLog, Objects
from fusionrec.live_items import LiveItems
from fusionrec.upsert import ItemWriter
from tests.suites.serving import NOW


class LiveShop:
    """Two containers on one log: a writer's, and a reader's, which polls at every request."""

    def __init__(self, folder: Path, objects: Objects | None = None, check_every_s: float = 0.0) -> None:
        self.objects = objects or MemoryObjects()
        self.bundles = MemoryBundles({folder.name: folder}, folder.name)
        self.models = ActiveModel(self.bundles, 0.0, items=LiveItems(ItemLog(self.objects), check_every_s))
        live = LiveItems(ItemLog(self.objects), check_every_s)
        self.writer = ItemWriter(
            live.log, ActiveModel(self.bundles, 0.0, with_graph=False, items=live), FixedClock(NOW)
        )

    def put(self, item_id: str, **fields) -> UpsertedItem:
        return self.writer.put(item_id, ItemAttributes.model_validate(fields))[0]
