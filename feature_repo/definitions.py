"""Feast definitions, built from `fusionrec/feature_spec.py`. Loaded by Feast only, as module `definitions`.

Batch rows are read from FUSIONREC_FEATURES_URI (a folder or s3://bucket/prefix with one <view>.parquet each) or, when
that is not set, from the features folder of the local data set.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Final

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, FeastType, Float32, Int64, String

from fusionrec import feature_spec as spec
from fusionrec.settings import Settings

TYPES: Final[dict[spec.DType, FeastType]] = {
    "int64": Int64,
    "float32": Float32,
    "string": String,
    "int64_list": Array(Int64),
    "float32_list": Array(Float32),
    "string_list": Array(String),
}


def features_uri() -> str:
    given = os.environ.get("FUSIONREC_FEATURES_URI", "")
    return given.rstrip("/") or str((Settings.from_env().dataset_dir / "features").resolve())


def build_view(view: spec.FeatureView, entity: Entity) -> FeatureView:
    """A push-only view is fed through its push source; its file stays empty."""
    batch = FileSource(
        name=f"{view.name}_batch", path=f"{features_uri()}/{view.name}.parquet", timestamp_field="event_timestamp"
    )
    source = PushSource(name=f"{view.name}_push", batch_source=batch) if view.push_only else batch
    return FeatureView(
        name=view.name,
        entities=[entity],
        schema=[Field(name=f.name, dtype=TYPES[f.dtype], description=f.about) for f in view.features],
        source=source,
        ttl=timedelta(days=view.max_age_days),  # 0 = never too old
        online=True,
    )


entities = {name: Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING) for name in ("user", "item")}
views = {view.name: build_view(view, entities[view.entity]) for view in spec.VIEWS}
services = {
    name: FeatureService(name=name, features=[views[view.name] for view in members])
    for name, members in spec.FEATURE_SERVICES.items()
}

# Feast finds what stands at the top of the module, not what lies in dictionaries.
globals().update({f"{name}_entity": entity for name, entity in entities.items()})
globals().update(views)
globals().update(services)
