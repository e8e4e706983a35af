"""From a raw frame to the files of a prepared data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import ibis
import pyarrow.parquet as pq

from fusionrec.bundle.manifest import sha256_of
from fusionrec.errors import DataError
from fusionrec.item_log import Item
from training.data import protocols
from training.data import report as reporting
from training.data.cleaning import Cleaned, CleaningOptions, clean, rejections
from training.data.dataset import CATALOGUE_ORDER, FILE_NAME, ITEMS_SCHEMA, SCHEMA_VERSION, USERS_SCHEMA, Cutoffs
from training.data.graph import edges
from training.data.sessions import sessionise
from training.data.sources.frame import Raw
from training.data.splits import SplitOptions
from training.data.updates import with_updates

OUTPUTS: Final = (
    "events.parquet", "items.parquet", "users.parquet", "graph/edges.parquet", "quarantine.csv", "report.json",
    "report.md",
)  # fmt: skip
OPTIONAL: Final = (CATALOGUE_ORDER,)


@dataclass(frozen=True, slots=True)
class Job:
    """One data set on its way from the raw frame to the files in `scratch`."""

    raw: Raw
    name: str
    wanted: dict[str, Any]  # source, options, inputs and their fingerprint
    scratch: Path
    updates: Mapping[str, Item] = field(default_factory=dict)  # what the shop told of items through the API


def write(con: Any, job: Job, step: Callable[[str], None]) -> None:
    """All outputs into `job.scratch`. Raises DataError when nothing is left to write."""
    raw, chosen = job.raw, job.wanted["options"]
    before = reporting.size_of(raw.events)
    if before["n_events"] == 0:
        flawed = raw.rejected is not None and raw.rejected.count().execute() > 0
        told = f": {rejections(raw.rejected)}" if flawed else ""
        raise DataError(f"holds no events{told}", pointer=job.wanted["inputs"][0]["file"])
    splits = SplitOptions(chosen["test_days"], chosen["validation_days"])
    cleaning = CleaningOptions(chosen["min_item_users"], chosen["min_user_events"], splits)
    cleaned = clean(con, raw, cleaning, datetime.now(UTC).replace(tzinfo=None), step)
    if cleaned.events.count().execute() == 0:
        told = rejections(cleaned.quarantine)
        raise DataError(f"every event was rejected: {told}; lower --min-item-users or --min-user-events")
    step("sessions")
    events = con.create_table("prepared", sessionise(cleaned.events, raw.has_times), temp=True)
    cutoffs = Cutoffs(*(moment.replace(tzinfo=UTC) for moment in cleaned.cutoffs))
    step("writing tables")
    write_tables(con, job, events, cleaned)
    step("building the graph")
    (job.scratch / "graph").mkdir()
    con.to_parquet(edges(events, cutoffs.all()), job.scratch / "graph" / "edges.parquet", compression="zstd")
    step("report")
    write_metadata(job, {"before": before, "after": reporting.describe(events)}, events, cleaned, cutoffs)


def write_tables(con: Any, job: Job, events: Any, cleaned: Cleaned) -> None:
    """events, items, users, quarantine. Items without an event stay unless rare items are dropped anyway."""
    no_pairs = ibis.literal([], type="array<string>")
    known, sold = job.raw.items, events.select("item_id").distinct()
    listed = known.semi_join(sold, "item_id") if job.wanted["options"]["min_item_users"] > 1 else known
    unlisted = sold.anti_join(known, "item_id")
    texts = {column: ibis.literal("") for column in ("category", "department", "brand", "description")}
    nameless = unlisted.mutate(name=ibis.literal("Item ") + unlisted.item_id, **texts, attributes=no_pairs)
    items = listed.select(nameless.columns).union(nameless).order_by("item_id")
    buyers = events.select("user_id").distinct()
    users = buyers.left_join(job.raw.users, "user_id").select("user_id", "attributes")
    users = users.mutate(attributes=users.attributes.fill_null(no_pairs)).order_by("user_id")
    con.to_parquet(events.order_by("user_id", "position"), job.scratch / "events.parquet", compression="zstd")
    # Through Arrow: where every list is empty, DuckDB would write lists of nothing instead of strings.
    tables = {"items": items.to_pyarrow().cast(ITEMS_SCHEMA), "users": users.to_pyarrow().cast(USERS_SCHEMA)}
    if job.updates:
        add = job.wanted["options"]["min_item_users"] <= 1
        tables["items"] = with_updates(tables["items"], job.updates, add=add)
    for name, table in tables.items():
        pq.write_table(table, job.scratch / f"{name}.parquet", compression="zstd")
    if job.raw.catalogue_order is not None:
        pq.write_table(job.raw.catalogue_order, job.scratch / CATALOGUE_ORDER, compression="zstd")
    con.to_csv(cleaned.quarantine.order_by("file", "line"), job.scratch / "quarantine.csv")


def write_metadata(job: Job, sizes: dict[str, Any], events: Any, cleaned: Cleaned, cutoffs: Cutoffs) -> None:
    """report.json, report.md and, last, dataset.json."""
    after = sizes["after"]
    report = {"name": job.name, "source": job.wanted["source"], **sizes, "rules": cleaned.counts}
    report |= {"windows": reporting.window_sizes(events, cutoffs.all()), "notes": list(job.raw.notes)}
    report["cautions"] = list(job.raw.cautions)
    report["protocols"] = protocols.allowed(events, cutoffs.all(), job.raw.has_times)
    reporting.write(report, job.scratch)
    sums = {"n_rejected": sum(cleaned.counts.values())}
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "name": job.name,
        **job.wanted,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "events_sha256": sha256_of(job.scratch / "events.parquet"),
        "counts": {key: after[key] for key in ("n_events", "n_users", "n_items", "n_sessions")} | sums,
        "first_event_at": after["first_event_at"],
        "last_event_at": after["last_event_at"],
        "has_times": job.raw.has_times,
        "currency": job.raw.currency,
        "cutoffs": cutoffs.as_json(),
    }
    (job.scratch / FILE_NAME).write_text(json.dumps(metadata, indent=2) + "\n")
