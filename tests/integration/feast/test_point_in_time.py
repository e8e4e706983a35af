"""Joins for training see what was known at a row's time: not later values, not expired ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionrec.errors import DataError
from fusionrec.feature_spec import ITEM_STATS, USER_PROFILE
from training.data.feast_store import historical

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def rows(key: str, name: str, times: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({key: [name] * len(times), "event_timestamp": pd.to_datetime(times, utc=True)})


def plant(dataset: Any, view: Any, key: str, at: Any, **values: Any) -> None:
    """Add a row to the offline store, as a later batch would."""
    path = dataset.folder / "features" / f"{view.name}.parquet"
    table = dataset.features(view.name)
    row = {feature.name: feature.default for feature in view.features} | values
    planted = pa.Table.from_pylist([{view.join_key: key, "event_timestamp": at, **row}], schema=table.schema)
    pq.write_table(pa.concat_tables([table, planted]), path, coerce_timestamps="us")


def test_a_planted_future_value_never_arrives(synced: Any) -> None:
    end = synced.cutoffs.data_end
    plant(synced, USER_PROFILE, "u1", end + DAY, n_events=424242)
    joined = historical(
        synced, rows("user_id", "u1", [end, end + DAY - SECOND, end + DAY]), features=["user_profile:n_events"]
    )
    found = joined.sort_values("event_timestamp")["user_profile__n_events"].tolist()
    assert found[2] == 424242  # the plant is there, and is seen from its own time on
    assert 424242 not in found[:2]
    assert found[0] == found[1] > 0


def test_each_row_gets_the_newest_values_of_its_own_time(shop: Any) -> None:
    cutoffs = list(shop.cutoffs.all())
    joined = historical(shop, rows("user_id", "u1", [cutoffs[0] - SECOND, *cutoffs]), service="fused_ranker_v1")
    found = joined.sort_values("event_timestamp")["user_profile__n_events"].tolist()
    counts = [row["n_events"] for row in shop.features("user_profile").to_pylist() if row["user_id"] == "u1"]
    assert pd.isna(found[0])  # before the first cut-off nothing was known
    assert found[1:] == counts
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_values_expire_with_the_views_age(shop: Any) -> None:
    end, age = shop.cutoffs.data_end, timedelta(days=USER_PROFILE.max_age_days)
    times = [end + age, end + age + SECOND]
    joined = historical(shop, rows("user_id", "u1", times), features=["user_profile:n_events"])
    found = joined.sort_values("event_timestamp")["user_profile__n_events"].tolist()
    assert found[0] > 0
    assert pd.isna(found[1])


def test_a_view_without_age_never_expires(shop: Any) -> None:
    times = [shop.cutoffs.data_end + 9000 * DAY]
    joined = historical(shop, rows("item_id", "i1", times), service="catalogue_v1")
    assert joined["item_stats__n_events"].tolist() == [12]
    assert ITEM_STATS.max_age_days == 0


def test_ten_rows_of_one_moment_all_come_back(shop: Any) -> None:
    """An impression of ten items has one time; Feast's file store lost rows there."""
    end = shop.cutoffs.data_end
    entities = pd.DataFrame(
        {
            "item_id": [f"i{n % 5}" for n in range(10)],
            "place": range(10),
            "event_timestamp": pd.to_datetime([end] * 10, utc=True),
        }
    )
    joined = historical(shop, entities, features=["item_stats:n_events"])
    assert sorted(joined["place"]) == list(range(10))
    assert joined["item_stats__n_events"].notna().all()


def test_an_unknown_user_has_no_values(shop: Any) -> None:
    joined = historical(shop, rows("user_id", "nobody", [shop.cutoffs.data_end]), features=["user_profile:n_events"])
    assert joined["user_profile__n_events"].isna().tolist() == [True]


def test_unknown_services_are_named(shop: Any) -> None:
    entities = rows("user_id", "u1", [shop.cutoffs.data_end])
    with pytest.raises(DataError, match="no feature service 'v0'; there are fused_ranker_v1, catalogue_v1"):
        historical(shop, entities, service="v0")
    with pytest.raises(DataError, match="name a feature service or a list of features"):
        historical(shop, entities)
