"""Builds each use case once per container, from the adapters that `stores` chooses.

A function imports what it does when it first does it: the consumer starts without numpy and wire models.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from functions import stores
from functions.stores import clock, settings
from fusionrec.errors import StoreUnavailableError

if TYPE_CHECKING:
    from fusionrec.absorb import Absorber, Consumer
    from fusionrec.active_model import ActiveModel
    from fusionrec.adapters.s3_drops import S3Drops
    from fusionrec.ingest import Ingester
    from fusionrec.live_items import LiveItems
    from fusionrec.ports import EventSink, TextSink
    from fusionrec.profile import Profiles
    from fusionrec.recommend import Recommender
    from fusionrec.text_feedback import TextFeedback
    from fusionrec.trending import Trends
    from fusionrec.upsert import ItemWriter

__all__ = ["clock", "settings"]


@cache
def models() -> ActiveModel:
    from fusionrec.active_model import ActiveModel

    return ActiveModel(stores.bundles(), settings().bundle_check_s, settings().onnx_threads, items=_live_items())


@cache
def catalogues() -> ActiveModel:
    """For functions that look items up and rank nothing. A local process serves all of them from one model."""
    if settings().store == "local":
        return models()
    from fusionrec.active_model import ActiveModel

    return ActiveModel(stores.bundles(), settings().bundle_check_s, with_graph=False, items=_live_items())


@cache
def recommender() -> Recommender:
    from fusionrec.recommend import Recommender

    return Recommender(stores.features(consistent=False), models(), stores.slates(), clock())


@cache
def ingester() -> Ingester:
    from fusionrec.ingest import Ingester

    return Ingester(_sink(), stores.event_log(), stores.features(consistent=False), catalogues(), clock())


@cache
def item_writer() -> ItemWriter:
    from fusionrec.upsert import ItemWriter

    live = _live_items()
    if live is None:
        raise StoreUnavailableError("item_updates", "FUSIONREC_ITEM_URI names no place for them")
    return ItemWriter(live.log, catalogues(), clock())


@cache
def _live_items() -> LiveItems | None:
    """One for the process: a function has one model, and what it writes it reads at once."""
    from fusionrec.item_log import ItemLog
    from fusionrec.live_items import LiveItems

    objects = stores.item_objects()
    return LiveItems(ItemLog(objects), settings().item_check_s) if objects else None


@cache
def profiles() -> Profiles:
    from fusionrec.profile import Profiles

    return Profiles(stores.features(consistent=False), clock())


@cache
def absorber() -> Absorber:
    from fusionrec.absorb import Absorber

    features = stores.features(consistent=True)
    return Absorber(features, features, clock(), stores.links(), stores.counts())


@cache
def trends() -> Trends:
    from fusionrec.trending import Trends

    return Trends(stores.counts(), clock())


@cache
def consumer() -> Consumer:
    from fusionrec.absorb import Consumer

    return Consumer(absorber(), _sink(), stores.dead_letters())


@cache
def text_feedback() -> TextFeedback:
    from fusionrec.text_feedback import TextFeedback

    return TextFeedback(stores.text_scorer, stores.text_votes(), stores.surge_alarms(), catalogues(), clock())


@cache
def texts() -> TextSink:
    """Where the consumer hands texts on to."""
    if queue := stores.text_queue():
        return queue
    from fusionrec.hand_on import DirectTexts

    return DirectTexts(text_feedback())


@cache
def drops() -> S3Drops:
    return stores.drops()


@cache
def _sink() -> EventSink:
    if queue := stores.event_queue():
        return queue
    from fusionrec.adapters.local_files import DirectSink
    from fusionrec.hand_on import SinkWithTexts

    return SinkWithTexts(DirectSink(absorber(), stores.dead_letters()), texts())
