"""Builds each use case once per container, from the adapters that `stores` chooses."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from functions import stores
from functions.stores import clock, settings
from fusionrec.absorb import Absorber, Consumer
from fusionrec.active_model import ActiveModel
from fusionrec.adapters.local_files import DirectSink
from fusionrec.errors import StoreUnavailableError
from fusionrec.hand_on import DirectTexts, SinkWithTexts
from fusionrec.ingest import Ingester
from fusionrec.item_log import ItemLog
from fusionrec.live_items import LiveItems
from fusionrec.ports import EventSink, TextSink
from fusionrec.profile import Profiles
from fusionrec.recommend import Recommender
from fusionrec.text_feedback import TextFeedback
from fusionrec.trending import Trends
from fusionrec.upsert import ItemWriter

if TYPE_CHECKING:
    from fusionrec.adapters.s3_drops import S3Drops

__all__ = ["clock", "settings"]


@cache
def models() -> ActiveModel:
    return ActiveModel(stores.bundles(), settings().bundle_check_s, settings().onnx_threads, items=_live_items())


@cache
def catalogues() -> ActiveModel:
    """For functions that look items up and rank nothing. A local process serves all of them from one model."""
    if settings().store == "local":
        return models()
    return ActiveModel(stores.bundles(), settings().bundle_check_s, with_graph=False, items=_live_items())


@cache
def recommender() -> Recommender:
    return Recommender(stores.features(consistent=False), models(), stores.slates(), clock())


@cache
def ingester() -> Ingester:
    return Ingester(_sink(), stores.event_log(), stores.features(consistent=False), catalogues(), clock())


@cache
def item_writer() -> ItemWriter:
    live = _live_items()
    if live is None:
        raise StoreUnavailableError("item_updates", "FUSIONREC_ITEM_URI names no place for them")
    return ItemWriter(live.log, catalogues(), clock())


@cache
def _live_items() -> LiveItems | None:
    """One for the process: a function has one model, and what it writes it reads at once."""
    objects = stores.item_objects()
    return LiveItems(ItemLog(objects), settings().item_check_s) if objects else None


@cache
def profiles() -> Profiles:
    return Profiles(stores.features(consistent=False), clock())


@cache
def absorber() -> Absorber:
    features = stores.features(consistent=True)
    return Absorber(features, features, clock(), stores.links(), stores.counts())


@cache
def trends() -> Trends:
    return Trends(stores.counts(), clock())


@cache
def consumer() -> Consumer:
    return Consumer(absorber(), _sink(), stores.dead_letters())


@cache
def text_feedback() -> TextFeedback:
    return TextFeedback(stores.text_scorer, stores.text_votes(), stores.surge_alarms(), catalogues(), clock())


@cache
def texts() -> TextSink:
    """Where the consumer hands texts on to."""
    return stores.text_queue() or DirectTexts(text_feedback())


@cache
def drops() -> S3Drops:
    return stores.drops()


@cache
def _sink() -> EventSink:
    return stores.event_queue() or SinkWithTexts(DirectSink(absorber(), stores.dead_letters()), texts())
