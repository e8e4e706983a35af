"""The catalogue of a bundle comes from features of the very events that were learnt from."""

from __future__ import annotations

import json

import pytest

from fusionrec.errors import DataError
from training.data import sync
from training.data.dataset import Dataset
from training.interactions import read_interactions
from training.item_columns import item_columns


def test_synced_features_fill_a_column_each(shop: Dataset) -> None:
    _, vocabulary, _ = read_interactions(shop)
    columns = item_columns(shop, vocabulary)
    assert list(columns["n_events"]) == [12] * 5


def test_features_of_earlier_data_are_refused_and_the_remedy_named(synced: Dataset) -> None:
    _, vocabulary, _ = read_interactions(synced)
    path = synced.folder / "dataset.json"
    path.write_text(json.dumps(synced.metadata | {"events_sha256": "0" * 64}))  # prepared anew, not synced
    with pytest.raises(DataError, match="run `fusionrec features sync --data shop` first"):
        item_columns(Dataset.open(synced.folder), vocabulary)


def test_a_changed_feature_file_is_refused(synced: Dataset) -> None:
    _, vocabulary, _ = read_interactions(synced)
    with (synced.folder / "features" / "item_stats.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"item_stats"):
        item_columns(synced, vocabulary)


def test_features_that_were_computed_but_not_applied_are_refused(fresh: Dataset) -> None:
    _, vocabulary, _ = read_interactions(fresh)
    sync.compute(fresh, sync.Progress.load(fresh), lambda *_: None)
    with pytest.raises(DataError, match="not applied"):
        item_columns(fresh, vocabulary)
