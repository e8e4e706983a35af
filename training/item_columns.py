"""What a bundle's catalogue says of each item: its features at the cut-off, by Feast's point-in-time join."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from fusionrec.bundle.catalogue import Column
from fusionrec.errors import DataError
from fusionrec.feature_spec import FEATURE_SERVICES
from training.data.dataset import Dataset
from training.interactions import Vocabulary


def require_features(dataset: Dataset) -> None:
    """The catalogue's features are computed from the events that are there now, and registered. Raises DataError."""
    from training.data.sync import Progress, is_current  # noqa: PLC0415  importing Ibis and DuckDB takes seconds

    views, progress = FEATURE_SERVICES["catalogue_v1"], Progress.load(dataset)
    stale = [view.name for view in views if not is_current(progress, dataset, view)]
    if stale or not progress.applied:
        raise DataError(
            f"no features of these events ({', '.join(stale) or 'not applied'}); "
            f"run `fusionrec features sync --data {dataset.folder.name}` first",
            pointer=str(dataset.folder / "features"),
        )


def item_columns(dataset: Dataset, vocabulary: Vocabulary) -> dict[str, Column]:
    """Features of every item at the cut-off, by Feast's point-in-time join; defaults where nothing was known.

    raises: DataError when the features were not computed from the events that are there now
    """
    from training.data.feast_store import historical  # noqa: PLC0415  importing the Feast SDK takes seconds

    require_features(dataset)
    moment = pd.Timestamp(dataset.cutoffs.data_end)
    wanted = pd.DataFrame({"item_id": list(vocabulary.item_ids), "event_timestamp": moment})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Feast calls an older name of its DuckDB backend
        joined = historical(dataset, wanted, service="catalogue_v1").set_index("item_id").loc[list(vocabulary.item_ids)]
    columns: dict[str, Column] = {}
    for view in FEATURE_SERVICES["catalogue_v1"]:
        for feature in view.features:
            values = joined[f"{view.name}__{feature.name}"]
            if feature.dtype == "string_list":
                columns[feature.name] = [[] if row is None else [str(text) for text in row] for row in values]
            elif feature.dtype == "string":
                columns[feature.name] = values.fillna("").astype(str).tolist()
            else:
                columns[feature.name] = values.fillna(0).to_numpy(np.dtype(feature.dtype))
    return columns
