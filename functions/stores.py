"""Chooses the adapters, by the settings alone: what each store, queue and log is, locally and in the cloud."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fusionrec.adapters.clock import SystemClock
from fusionrec.adapters.item_objects import FolderObjects, S3Objects
from fusionrec.adapters.local_files import DeadLetterFiles, EventFiles, FolderBundles, SlateFile
from fusionrec.adapters.log_lines import NoEventLog, SlateLines
from fusionrec.adapters.no_store import NoStore
from fusionrec.errors import StoreUnavailableError
from fusionrec.item_log import Objects
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
from fusionrec.settings import Settings

if TYPE_CHECKING:
    from fusionrec.adapters.feast_sdk import SdkFeatures
    from fusionrec.adapters.s3_drops import S3Drops
    from fusionrec.text.scoring import TextScorer

S3_CACHE = Path("/tmp/bundles")  # noqa: S108 - the only folder that a function may write


class Features(UserFeatures, SessionWriter, Protocol):
    """A store that reads both views and writes the session."""


@cache
def settings() -> Settings:
    return Settings.from_env()


@cache
def clock() -> Clock:
    return SystemClock(settings().clock_starts_at)


def event_queue() -> EventSink | None:
    """None: there is no queue, and events are absorbed at once."""
    if not settings().event_queue_url:
        return None
    from fusionrec.adapters.sqs import SqsSink

    return SqsSink(_aws("sqs", connect_timeout=1.0, read_timeout=3.0), settings().event_queue_url)


def text_queue() -> TextSink | None:
    """None: there is no queue, and texts are scored at once."""
    if not settings().text_queue_url:
        return None
    from fusionrec.adapters.text_queue import TextQueue

    return TextQueue(_aws("sqs", connect_timeout=1.0, read_timeout=3.0), settings().text_queue_url)


@cache
def text_scorer() -> TextScorer:
    from fusionrec.adapters.text_models import open_text_model

    return open_text_model(settings().text_model, lambda: _aws("s3", connect_timeout=1.0, read_timeout=5.0))


def text_votes() -> TextVotes:
    from fusionrec.adapters.text_votes import DynamoVotes, SqliteVotes

    if settings().store == "local":
        return SqliteVotes(settings().dataset_dir / "log" / "text-votes.db")
    return DynamoVotes(_aws("dynamodb", connect_timeout=0.5, read_timeout=2.0), settings().table_prefix)


def surge_alarms() -> SurgeAlarms:
    from fusionrec.adapters.surge_alarms import AlarmFiles, BusAlarms

    if settings().store == "local":
        return AlarmFiles(settings().dataset_dir / "log" / "alarms")
    return BusAlarms(_aws("events", connect_timeout=1.0, read_timeout=3.0))


@cache
def features(*, consistent: bool) -> Features:
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


def drops() -> S3Drops:
    from fusionrec.adapters.s3_drops import S3Drops

    return S3Drops(_aws("s3", connect_timeout=2.0, read_timeout=30.0))


def bundles() -> BundleStore:
    uri = settings().bundle_uri
    if uri.startswith("s3://"):
        from fusionrec.adapters.s3 import S3Bundles

        files = _aws("s3", connect_timeout=2.0, read_timeout=10.0)
        return S3Bundles(files, uri, S3_CACHE, _quick_s3())
    return FolderBundles(Path(uri) if uri else settings().dataset_dir / "bundles")


def _quick_s3() -> Any:
    """For what is read within a request's budget."""
    return _aws("s3", connect_timeout=0.5, read_timeout=0.5, attempts=1)


def item_objects() -> Objects | None:
    """Where the item log lies; None: nowhere."""
    uri = settings().item_uri
    if uri.startswith("s3://"):
        return S3Objects(_quick_s3(), uri, lambda: _aws("s3", connect_timeout=0.5, read_timeout=1.5))
    if uri or settings().store == "local":
        return FolderObjects(Path(uri) if uri else settings().dataset_dir / "items")
    return None


def dead_letters() -> DeadLetters:
    if settings().dead_letter_queue_url:
        from fusionrec.adapters.sqs import SqsDeadLetters

        return SqsDeadLetters(_aws("sqs", connect_timeout=1.0, read_timeout=3.0), settings().dead_letter_queue_url)
    return DeadLetterFiles(settings().dataset_dir / "log" / "dead-letters")


def event_log() -> EventLog:
    if settings().event_stream:
        from fusionrec.adapters.firehose import FirehoseEvents

        return FirehoseEvents(_aws("firehose", connect_timeout=1.0, read_timeout=2.0), settings().event_stream)
    if settings().store == "local":
        return EventFiles(settings().dataset_dir / "log" / "events")
    return NoEventLog()


@cache
def counts() -> ItemCounts:
    if settings().store == "local":
        from fusionrec.adapters.sqlite_counts import SqliteCounts

        return SqliteCounts(settings().dataset_dir / "log" / "item-counts.db")
    from fusionrec.adapters.item_counts import DynamoCounts

    client = _aws("dynamodb", connect_timeout=0.5, read_timeout=1.0, attempts=1)
    return DynamoCounts(client, settings().table_prefix)


def links() -> SessionLinks:
    from fusionrec.adapters.session_links import DynamoLinks, SqliteLinks

    if settings().store == "local":
        return SqliteLinks(settings().dataset_dir / "log" / "session-links.db")
    return DynamoLinks(_aws("dynamodb", connect_timeout=0.5, read_timeout=1.0), settings().table_prefix)


def slates() -> SlateLog:
    if settings().slate_stream:
        from fusionrec.adapters.firehose import FirehoseSlates

        return FirehoseSlates(_aws("firehose", connect_timeout=0.3, read_timeout=0.5), settings().slate_stream)
    if settings().store == "local":
        return SlateFile(settings().dataset_dir / "log" / "slates")
    return SlateLines()


@cache
def _session() -> Any:
    """One for all clients: it reads the list of endpoints and each service's description once, 0.1 s a client."""
    import botocore.session

    return botocore.session.get_session()


@cache
def _aws(service: str, connect_timeout: float, read_timeout: float, attempts: int = 2) -> Any:
    """A client with timeouts in seconds. Botocore itself: importing boto3 around it would double the cold start."""
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=16,
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return _session().create_client(service, region_name=region, config=config)
