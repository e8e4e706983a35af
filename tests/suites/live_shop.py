"""The toy shop with an item log: item k has brand (k - 1) % 7, and shares it with item k + 7 at most."""

from __future__ import annotations

from pathlib import Path

from fusionrec.active_model import ActiveModel
from fusionrec.adapters.memory import FixedClock, MemoryBundles, MemoryObjects
from fusionrec.contracts.items import ItemAttributes, UpsertedItem
from fusionrec.contracts.recommendations import RecommendationRequest, Recommendations, RecommendedItem
from fusionrec.item_log import ItemLog, Objects
from fusionrec.live_items import LiveItems
from fusionrec.recommend import Recommender
from fusionrec.upsert import ItemWriter
from tests.suites.serving import NOW

LIKE_2_AND_9 = {"name": "rusk", "brand": "brand 1", "category": "bakery rusk", "priceCents": 250}


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


def ask(use_case: Recommender, **fields) -> Recommendations:
    given = {"recentItemIds": ["item-01", "item-03"], "numResults": 20, **fields}
    return use_case.recommend(RecommendationRequest.model_validate(given))


def ids(answer: Recommendations) -> list[str]:
    return [item.item_id for item in answer.item_list]


def item(answer: Recommendations, item_id: str) -> RecommendedItem:
    return next(item for item in answer.item_list if item.item_id == item_id)
