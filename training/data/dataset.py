"""A prepared data set: what `fusionrec data prepare` wrote, as one frozen value that reads its tables when asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fusionrec.errors import DataError

SCHEMA_VERSION: Final = 1
FILE_NAME: Final = "dataset.json"
CATALOGUE_ORDER: Final = "catalogue_order.parquet"

EVENTS_SCHEMA: Final = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("event_type", pa.string()),
        ("sent_at", pa.timestamp("us", tz="UTC")),
        ("event_value", pa.float64()),
        ("price_cents", pa.int64()),
        ("discount_cents", pa.int64()),
        ("session_id", pa.string()),
        ("position", pa.int64()),
    ]
)
ITEMS_SCHEMA: Final = pa.schema(
    [(name, pa.string()) for name in ("item_id", "name", "category", "department", "brand", "description")]
    + [("attributes", pa.list_(pa.string()))]
)
USERS_SCHEMA: Final = pa.schema([("user_id", pa.string()), ("attributes", pa.list_(pa.string()))])

Cutoff = Literal["train_end", "validation_end", "data_end"]


def made_up_name(item_id: str) -> str:
    """For an item that its source does not name: to be shown, not to be learnt from."""
    return f"Item {item_id}"


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Train is before `train_end`; validation from there to `validation_end`; test from there to `data_end`."""

    train_end: datetime
    validation_end: datetime
    data_end: datetime  # just after the last event

    def at(self, name: Cutoff) -> datetime:
        moment: datetime = getattr(self, name)
        return moment

    def all(self) -> tuple[datetime, datetime, datetime]:
        return self.train_end, self.validation_end, self.data_end

    def as_json(self) -> dict[str, str]:
        return {name: self.at(name).isoformat() for name in ("train_end", "validation_end", "data_end")}


@dataclass(frozen=True)
class Dataset:
    """Metadata at once, tables on first use. Opened by `Dataset.open`, written by `training.data.prepare`."""

    folder: Path
    name: str
    source: str
    has_times: bool  # False: sent_at is made up and only its order within a user means something
    currency: str  # ISO 4217, empty when there are no prices
    cutoffs: Cutoffs
    counts: dict[str, int]
    data_hash: str  # sha256 of events.parquet
    metadata: dict[str, Any]  # all of dataset.json

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read dataset.json only. Raises DataError."""
        path = folder / FILE_NAME
        try:
            fields = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(
                f"no prepared data in {folder}; run `fusionrec data prepare` first", pointer=str(path)
            ) from None
        except ValueError as error:
            raise DataError(f"is not JSON ({error}); prepare the data again with --force", pointer=str(path)) from None
        if not isinstance(fields, dict) or fields.get("schema_version") != SCHEMA_VERSION:
            raise DataError(f"is not schema version {SCHEMA_VERSION}; prepare the data again", pointer=str(path))
        return cls(
            folder=folder,
            name=fields["name"],
            source=fields["source"],
            has_times=fields["has_times"],
            currency=fields["currency"],
            cutoffs=Cutoffs(**{name: datetime.fromisoformat(text) for name, text in fields["cutoffs"].items()}),
            counts=fields["counts"],
            data_hash=fields["events_sha256"],
            metadata=fields,
        )

    @cached_property
    def events(self) -> pa.Table:
        """Columns of EVENTS_SCHEMA, sorted by user_id and position (oldest first)."""
        return read_table(self.folder / "events.parquet")

    @cached_property
    def items(self) -> pa.Table:
        """Columns of ITEMS_SCHEMA, sorted by item_id, unique."""
        return read_table(self.folder / "items.parquet")

    @cached_property
    def users(self) -> pa.Table:
        """Columns of USERS_SCHEMA, sorted by user_id, unique."""
        return read_table(self.folder / "users.parquet")

    @cached_property
    def catalogue_order(self) -> tuple[str, ...] | None:
        """Item ids in the order of the shop's own ids; None: not known."""
        path = self.folder / CATALOGUE_ORDER
        return tuple(read_table(path)["item_id"].to_pylist()) if path.exists() else None

    @cached_property
    def edges(self) -> pa.Table:
        """The user–item graph as of every cut-off: user_id, item_id, weight, n_events, last_event_at, event_timestamp.

        Keep the rows whose event_timestamp is the cut-off that you train to; see `edges_at`.
        """
        return read_table(self.folder / "graph" / "edges.parquet")

    def edges_at(self, cutoff: Cutoff) -> pa.Table:
        """Edges from events strictly before the cut-off."""
        moment = self.edges["event_timestamp"]
        return self.edges.filter(pc.equal(moment, pa.scalar(self.cutoffs.at(cutoff), moment.type)))

    def features(self, view: str) -> pa.Table:
        """One row per entity and cut-off (`event_timestamp`), columns of `fusionrec/feature_spec.py`."""
        return read_table(self.folder / "features" / f"{view}.parquet")

    def events_between(self, start: Cutoff | None, end: Cutoff) -> pa.Table:
        """Events at or after `start` (None: from the beginning) and strictly before `end`."""
        sent_at = self.events["sent_at"]
        chosen = pc.less(sent_at, pa.scalar(self.cutoffs.at(end), sent_at.type))
        if start is not None:
            chosen = pc.and_(chosen, pc.greater_equal(sent_at, pa.scalar(self.cutoffs.at(start), sent_at.type)))
        return self.events.filter(chosen)


def read_table(path: Path) -> pa.Table:
    """A Parquet file as one table. Raises DataError when it is missing or damaged."""
    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise DataError("is not there; run `fusionrec data prepare` or `features compute`", pointer=str(path)) from None
    except (pa.ArrowInvalid, OSError) as error:
        detail = str(error).splitlines()[0]
        raise DataError(f"cannot be read ({detail}); prepare it again with --force", pointer=str(path)) from None
