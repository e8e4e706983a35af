"""Builds each use case once per container, and alone chooses the adapters."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fusionrec.absorb import Absorber, Consumer
from fusionrec.active_model import ActiveModel
from fusionrec.adapters.clock import SystemClock
from fusionrec.adapters.item_objects import FolderObjects, S3Objects
from fusionrec.adapters.local_files import DeadLetterFiles, DirectSink, EventFiles, FolderBundles, SlateFile
from fusionrec.adapters.log_lines import NoEventLog, SlateLines
from fusionrec.adapters.no_store import NoStore
from fusionrec.errors import StoreUnavailableError
from fusionrec.hand_on import DirectTexts, SinkWithTexts
from fusionrec.ingest import Ingester
from fusionrec.item_log import ItemLog, Objects
from fusionrec.live_items import LiveItems
from fusionrec.observability import logger
from fusionrec.ports import (
    BundleStore,
    Clock,
    DeadLetters,
    EventLog,
    EventSink,
    ItemCounts,
    SessionLinks,
    SessionWriter,
    SlateLog,
    SurgeAlarms,
    TextSink,
    TextVotes,
    UserFeatures,
)
from fusionrec.profile import Profiles
from fusionrec.recommend import Recommender
from fusionrec.settings import Settings
from fusionrec.text.scoring import TextScorer
from fusionrec.text_feedback import TextFeedback
from fusionrec.trending import Trends
from fusionrec.upsert import ItemWriter

if TYPE_CHECKING:
    from fusionrec.adapters.feast_sdk import SdkFeatures
    from fusionrec.adapters.s3_drops import S3Drops

S3_CACHE = Path("/tmp/bundles")  # noqa: S108 - the only folder that a function may write


class Features(UserFeatures, SessionWriter, Protocol):
    """A store that reads both views and writes the session."""


@cache
def settings() -> Settings:
    return Settings.from_env()


@cache
def clock() -> Clock:
    return SystemClock(settings().clock_starts_at)


@cache
def models() -> ActiveModel:
    return ActiveModel(_bundles(), settings().bundle_check_s, settings().onnx_threads, items=_live_items())


@cache
def catalogues() -> ActiveModel:
    """For functions that look items up and rank nothing. A local process serves all of them from one model."""
    if settings().store == "local":
        return models()
    return ActiveModel(_bundles(), settings().bundle_check_s, with_graph=False, items=_live_items())


@cache
def recommender() -> Recommender:
    return Recommender(_features(consistent=False), models(), _slates(), clock())


@cache
def ingester() -> Ingester:
    return Ingester(_sink(), _event_log(), _features(consistent=False), catalogues(), clock())


@cache
def item_writer() -> ItemWriter:
    live = _live_items()
    if live is None:
        raise StoreUnavailableError("item_updates", "FUSIONREC_ITEM_URI names no place for them")
    return ItemWriter(live.log, catalogues(), clock())


@cache
def profiles() -> Profiles:
    return Profiles(_features(consistent=False), clock())


@cache
def absorber() -> Absorber:
    features = _features(consistent=True)
    return Absorber(features, features, clock(), _links(), _counts())


@cache
def trends() -> Trends:
    return Trends(_counts(), clock())


@cache
def consumer() -> Consumer:
    return Consumer(absorber(), _sink(), _dead_letters())


@cache
def text_feedback() -> TextFeedback:
    return TextFeedback(_text_scorer, _text_votes(), _surge_alarms(), catalogues(), clock())


@cache
def texts() -> TextSink:
    """Where the consumer hands texts on to."""
    if settings().text_queue_url:
        from fusionrec.adapters.text_queue import TextQueue

        return TextQueue(_aws("sqs", connect_timeout=1.0, read_timeout=3.0), settings().text_queue_url)
    return DirectTexts(text_feedback())


@cache
def _text_scorer() -> TextScorer:
    folder = settings().text_model
    return TextScorer.open(folder) if folder else TextScorer.open()


def _text_votes() -> TextVotes:
    from fusionrec.adapters.text_votes import DynamoVotes, SqliteVotes

    if settings().store == "local":
        return SqliteVotes(settings().dataset_dir / "log" / "text-votes.db")
    return DynamoVotes(_aws("dynamodb", connect_timeout=0.5, read_timeout=2.0), settings().table_prefix)


def _surge_alarms() -> SurgeAlarms:
    from fusionrec.adapters.surge_alarms import AlarmFiles, BusAlarms

    if settings().store == "local":
        return AlarmFiles(settings().dataset_dir / "log" / "alarms")
    return BusAlarms(_aws("events", connect_timeout=1.0, read_timeout=3.0))


@cache
def _features(*, consistent: bool) -> Features:
    if settings().store == "local":
        return _local_features().for_update() if consistent else _local_features()
    from fusionrec.adapters.feast_dynamodb import DynamoFeatures

    client = _aws("dynamodb", connect_timeout=0.5, read_timeout=1.0)
    return DynamoFeatures(client, settings().table_prefix, clock(), consistent=consistent)


@cache
def _local_features() -> SdkFeatures | NoStore:
    """The SDK is imported here only: no function carries it."""
    from fusionrec.adapters.feast_local import open_local_store
    from fusionrec.adapters.feast_sdk import SdkFeatures

    try:
        return SdkFeatures(open_local_store(settings().dataset_dir), clock())
    except StoreUnavailableError as error:
        logger.error("serving without user features", extra={"detail": str(error)})
        return NoStore(str(error))


@cache
def drops() -> S3Drops:
    from fusionrec.adapters.s3_drops import S3Drops

    return S3Drops(_aws("s3", connect_timeout=2.0, read_timeout=30.0))


def _bundles() -> BundleStore:
    uri = settings().bundle_uri
    if uri.startswith("s3://"):
        from fusionrec.adapters.s3 import S3Bundles

        files = _aws("s3", connect_timeout=2.0, read_timeout=10.0)
        return S3Bundles(files, uri, S3_CACHE, _quick_s3())
    return FolderBundles(Path(uri) if uri else settings().dataset_dir / "bundles")


@cache
def _quick_s3() -> Any:
    """For what is read within a request's budget."""
    return _aws("s3", connect_timeout=0.5, read_timeout=0.5, attempts=1)


@cache
def _live_items() -> LiveItems | None:
    """One for the process: a function has one model, and what it writes it reads at once."""
    objects = _item_objects()
    return LiveItems(ItemLog(objects), settings().item_check_s) if objects else None


def _item_objects() -> Objects | None:
    uri = settings().item_uri
    if uri.startswith("s3://"):
        return S3Objects(_quick_s3(), uri, lambda: _aws("s3", connect_timeout=1.0, read_timeout=3.0))
    if uri or settings().store == "local":
        return FolderObjects(Path(uri) if uri else settings().dataset_dir / "items")
    return None


@cache
def _sink() -> EventSink:
    if settings().event_queue_url:
        from fusionrec.adapters.sqs import SqsSink

        return SqsSink(_aws("sqs", connect_timeout=1.0, read_timeout=3.0), settings().event_queue_url)
    return SinkWithTexts(DirectSink(absorber(), _dead_letters()), texts())


def _dead_letters() -> DeadLetters:
    if settings().dead_letter_queue_url:
        from fusionrec.adapters.sqs import SqsDeadLetters

        return SqsDeadLetters(_aws("sqs", connect_timeout=1.0, read_timeout=3.0), settings().dead_letter_queue_url)
    return DeadLetterFiles(settings().dataset_dir / "log" / "dead-letters")


def _event_log() -> EventLog:
    if settings().event_stream:
        from fusionrec.adapters.firehose import FirehoseEvents

        return FirehoseEvents(_aws("firehose", connect_timeout=1.0, read_timeout=2.0), settings().event_stream)
    if settings().store == "local":
        return EventFiles(settings().dataset_dir / "log" / "events")
    return NoEventLog()


@cache
def _counts() -> ItemCounts:
    from fusionrec.adapters.item_counts import DynamoCounts, SqliteCounts

    if settings().store == "local":
        return SqliteCounts(settings().dataset_dir / "log" / "item-counts.db")
    return DynamoCounts(_aws("dynamodb", connect_timeout=0.5, read_timeout=1.0), settings().table_prefix)


def _links() -> SessionLinks:
    from fusionrec.adapters.session_links import DynamoLinks, SqliteLinks

    if settings().store == "local":
        return SqliteLinks(settings().dataset_dir / "log" / "session-links.db")
    return DynamoLinks(_aws("dynamodb", connect_timeout=0.5, read_timeout=1.0), settings().table_prefix)


def _slates() -> SlateLog:
    if settings().slate_stream:
        from fusionrec.adapters.firehose import FirehoseSlates

        return FirehoseSlates(_aws("firehose", connect_timeout=0.3, read_timeout=0.5), settings().slate_stream)
    if settings().store == "local":
        return SlateFile(settings().dataset_dir / "log" / "slates")
    return SlateLines()


def _aws(service: str, connect_timeout: float, read_timeout: float, attempts: int = 2) -> Any:
    """A client with timeouts in seconds. Botocore itself: importing boto3 around it would double the cold start."""
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=16,
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return botocore.session.get_session().create_client(service, region_name=region, config=config)
