"""Where features, links, logs and queues lie: in a data set's folder, or in the cloud as the environment names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionrec.absorb import Absorber
from fusionrec.adapters.clock import SystemClock
from fusionrec.adapters.item_counts import DynamoCounts
from fusionrec.adapters.local_files import DeadLetterFiles, DirectSink
from fusionrec.adapters.session_links import DynamoLinks, SqliteLinks
from fusionrec.adapters.sqlite_counts import SqliteCounts
from fusionrec.errors import BadInputError, StoreUnavailableError
from fusionrec.ports import SessionLinks
from fusionrec.settings import Settings
from training.data.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Stores:
    absorber: Absorber
    links: SessionLinks


def local_stores(folder: Path) -> Stores:
    """Of one data set. Raises DataError when it was not prepared, StoreUnavailableError without a feature store."""
    Dataset.open(folder)
    from fusionrec.adapters.feast_local import open_local_store  # noqa: PLC0415 - seconds of import
    from fusionrec.adapters.feast_sdk import SdkFeatures  # noqa: PLC0415

    online = folder / "feast" / "online.db"
    if not online.is_file() or not online.stat().st_size:
        detail = f"{online} is missing or empty; run `fusionrec features sync --data {folder.name}` first"
        raise StoreUnavailableError("user_features", detail)
    clock = SystemClock()
    features = SdkFeatures(open_local_store(folder), clock).for_update()
    links = SqliteLinks(folder / "log" / "session-links.db")
    counts = SqliteCounts(folder / "log" / "item-counts.db")
    return Stores(Absorber(features, features, clock, links, counts), links)


def cloud_stores(settings: Settings) -> Stores:
    """Tables `<FUSIONREC_TABLE_PREFIX>.<view>` of the account that the environment names."""
    from fusionrec.adapters.feast_dynamodb import DynamoFeatures  # noqa: PLC0415

    clock, client = SystemClock(), aws_client("dynamodb")
    features = DynamoFeatures(client, settings.table_prefix, clock, consistent=True)
    links = DynamoLinks(client, settings.table_prefix)
    counts = DynamoCounts(client, settings.table_prefix)
    return Stores(Absorber(features, features, clock, links, counts), links)


def local_sink(folder: Path) -> DirectSink:
    """Absorbs at once; what fails again becomes a dead letter again."""
    return DirectSink(local_stores(folder).absorber, DeadLetterFiles(dead_letter_folder(folder)))


def dead_letter_folder(folder: Path) -> Path:
    return folder / "log" / "dead-letters"


def aws_client(service: str) -> Any:
    """Raises BadInputError when the environment names no region."""
    import botocore.session  # noqa: PLC0415
    from botocore.exceptions import NoRegionError  # noqa: PLC0415

    try:
        return botocore.session.get_session().create_client(service)
    except NoRegionError:
        raise BadInputError("no AWS region; set AWS_DEFAULT_REGION", pointer="AWS_DEFAULT_REGION") from None
