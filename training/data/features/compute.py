"""Compute every view at the three cut-offs and write it where Feast reads it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from fusionrec.feature_spec import ITEM_ATTRIBUTES, ITEM_STATS, USER_PROFILE, DType, FeatureView
from training.data.dataset import Dataset
from training.data.features.common import Shop
from training.data.features.item_attributes import item_attributes
from training.data.features.item_stats import item_stats
from training.data.features.user_profile import user_profile

RECIPE: Final = 2  # raise when an expression changes, so that features are computed anew
EXPRESSIONS: Final[dict[str, Callable[[Shop, datetime], Any]]] = {
    ITEM_ATTRIBUTES.name: item_attributes,
    ITEM_STATS.name: item_stats,
    USER_PROFILE.name: user_profile,
}
ARROW_TYPES: Final[dict[DType, pa.DataType]] = {
    "int64": pa.int64(),
    "float32": pa.float32(),
    "string": pa.string(),
    "int64_list": pa.list_(pa.int64()),
    "float32_list": pa.list_(pa.float32()),
    "string_list": pa.list_(pa.string()),
}


def arrow_schema(view: FeatureView) -> pa.Schema:
    """Columns of features/<view>.parquet."""
    keys = [(view.join_key, pa.string()), ("event_timestamp", pa.timestamp("us", tz="UTC"))]
    return pa.schema(keys + [(feature.name, ARROW_TYPES[feature.dtype]) for feature in view.features])


def compute_view(dataset: Dataset, view: FeatureView) -> int:
    """Write features/<view>.parquet, whole or not at all; the number of rows.

    A push-only view has no batch rows: its file is empty, for Feast's offline store to join with.
    """
    target = dataset.folder / "features" / f"{view.name}.parquet"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dataset.folder, prefix=".features-") as scratch:
        written = Path(scratch) / target.name
        table = arrow_schema(view).empty_table() if view.push_only else rows_at_cutoffs(dataset, view, Path(scratch))
        pq.write_table(table, written, compression="zstd", coerce_timestamps="us")
        written.replace(target)
    return int(table.num_rows)


def rows_at_cutoffs(dataset: Dataset, view: FeatureView, scratch: Path) -> pa.Table:
    """All rows of the view, sorted by cut-off and key."""
    con = ibis.duckdb.connect(temp_directory=str(scratch / "spill"))
    con.raw_sql("SET TimeZone = 'UTC'")
    try:
        shop = Shop(
            con.read_parquet(dataset.folder / "events.parquet"),
            con.read_parquet(dataset.folder / "items.parquet"),
            dataset.has_times,
        )
        expression = EXPRESSIONS[view.name]
        # One cut-off at a time bounds the memory, and each result is a table of its own.
        parts = [expression(shop, cutoff).order_by(view.join_key).to_pyarrow() for cutoff in dataset.cutoffs.all()]
        return pa.concat_tables([part.cast(arrow_schema(view)) for part in parts])
    finally:
        con.disconnect()
