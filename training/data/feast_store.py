"""The feature store of one data set: apply the definitions, fill the online store, join features at points in time."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView, RepoConfig

from fusionrec.adapters.feast_local import REPOSITORY, local_config, open_local_store, without_advice
from fusionrec.errors import BadInputError, DataError
from fusionrec.feature_spec import FEATURE_SERVICES, VIEWS
from fusionrec.feature_spec import FeatureView as ViewSpec
from training.data.dataset import Dataset

CLOUD_YAML: Final = REPOSITORY / "feature_store.yaml"
BATCH_NAMES: Final = {view.name for view in VIEWS if not view.push_only}
CHUNK_ROWS: Final = 2000  # of one online write; what an interruption may repeat


def repository_config(dataset: Dataset, cloud: bool) -> RepoConfig:
    """Local: below the data set's folder. Cloud: feature_store.yaml. Raises BadInputError for a missing variable."""
    if not cloud:
        return local_config(dataset.folder)
    text = CLOUD_YAML.read_text()
    try:
        fields = yaml.safe_load(Template(text).substitute(os.environ))
    except KeyError as error:
        name = str(error.args[0])
        raise BadInputError(f"is not set; {CLOUD_YAML.name} needs it", pointer=name) from None
    return without_advice(RepoConfig(**fields, repo_path=REPOSITORY))


def apply_definitions(dataset: Dataset, cloud: bool = False) -> FeatureStore:
    """Register entities, views and services of feature_repo/ with this data set's store.

    Locally, batch rows of an earlier preparation go, or users and items that are no longer there would keep theirs;
    what was pushed to user_session stays. In the cloud nothing is deleted: the tables belong to the stack.
    """
    (dataset.folder / "feast").mkdir(exist_ok=True)
    store = FeatureStore(config=repository_config(dataset, cloud))
    earlier = [] if cloud else [view for view in store.list_batch_feature_views() if view.name in BATCH_NAMES]
    if earlier:
        store.apply([], objects_to_delete=earlier, partial=False)
    with environment(FUSIONREC_FEATURES_URI=str((dataset.folder / "features").resolve())):
        defined = runpy.run_path(str(REPOSITORY / "definitions.py"))
    store.apply([value for value in defined.values() if isinstance(value, Entity | FeatureView | FeatureService)])
    return store


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Variables for a module that reads them while it is loaded."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def newest_rows(dataset: Dataset, view: ViewSpec) -> pa.Table:
    """The rows of the last cut-off: what the online store should hold. Sorted by key."""
    table = dataset.features(view.name)
    moment = pa.scalar(dataset.cutoffs.data_end, table["event_timestamp"].type)
    return table.filter(pc.equal(table["event_timestamp"], moment)).sort_by(view.join_key)


def write_online(store: FeatureStore, view: ViewSpec, rows: pa.Table) -> None:
    """Write rows (join key, event_timestamp, features) of one view to the online store."""
    store.write_to_online_store(view.name, df=rows.to_pandas())


def finish(store: FeatureStore, view: ViewSpec, dataset: Dataset) -> None:
    """Tell the registry up to when the view is materialized, as `feast materialize` does."""
    end = dataset.cutoffs.data_end
    start = datetime.fromisoformat(dataset.metadata["first_event_at"]).astimezone(UTC) - timedelta(days=1)
    store.registry.apply_materialization(store.get_feature_view(view.name), store.project, start, end)


def historical(
    dataset: Dataset, entities: pd.DataFrame, *, service: str = "", features: Sequence[str] = ()
) -> pd.DataFrame:
    """Point-in-time join: for each row the newest features that were known at its `event_timestamp`, never later ones.

    entities: join keys (`user_id`, `item_id`) and `event_timestamp` (aware)
    service:  a name of FEATURE_SERVICES; or features: `view:feature` names
    returns:  the entities' columns and one column a feature, `<view>__<feature>`; null where nothing was known
    raises:   DataError for an unknown service, or when neither is given
    """
    store = open_local_store(dataset.folder)
    if not service and not features:
        raise DataError("name a feature service or a list of features")
    if service and service not in FEATURE_SERVICES:
        raise DataError(f"no feature service {service!r}; there are {', '.join(FEATURE_SERVICES)}")
    wanted = store.get_feature_service(service) if service else list(features)
    job = store.get_historical_features(entity_df=entities.copy(), features=wanted, full_feature_names=True)
    frame: pd.DataFrame = job.to_df()
    return frame


def open_store(dataset: Dataset, cloud: bool = False) -> FeatureStore:
    """The data set's store, as serving opens it. Raises StoreUnavailableError, BadInputError."""
    return FeatureStore(config=repository_config(dataset, cloud)) if cloud else open_local_store(dataset.folder)
