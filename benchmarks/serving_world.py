"""Workspaces to measure in: a random shop of any size, or a prepared data set, with the real Feast store on SQLite."""

from __future__ import annotations

import json
import runpy
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.feature_spec import DAY_MS, ITEM_ATTRIBUTES, ITEM_STATS, USER_PROFILE, FeatureView
from fusionrec.ports import default_row

N_HISTORY: Final = 50
N_USERS: Final = 40
N_CANDIDATES: Final = 500


def random_world(home: Path, n_items: int) -> Path:
    """A data set folder with a bundle of n_items, users of 50-item histories and 500 items in the online store."""
    from training.shop import NOW, write_random_bundle  # noqa: PLC0415 - torch, only where a world is made

    folder = home / "random"
    (folder / "bundles").mkdir(parents=True)
    bundle = write_random_bundle(folder / "bundles" / "v1", n_items)
    (folder / "bundles" / "current").write_text("v1\n")
    (folder / "dataset.json").write_text(json.dumps({"cutoffs": {"data_end": NOW.isoformat()}}))
    fill_store(folder, Catalogue.load(bundle / "catalogue"), NOW)
    return folder


def fill_store(folder: Path, catalogue: Catalogue, now: datetime) -> None:
    store = _store(folder)
    rng = np.random.default_rng(0)
    now_ms = int(now.timestamp() * 1000)
    rows = []
    for _ in range(N_USERS):
        items = rng.choice(catalogue.n_items, N_HISTORY, replace=False) + 1
        ages = np.sort(rng.integers(1, 200, N_HISTORY))[::-1]
        rows.append(
            {
                **default_row(USER_PROFILE),
                "history_item_ids": [catalogue.item_id(int(item)) for item in items],
                "history_event_types": ["purchase"] * N_HISTORY,
                "history_sent_at": (now_ms - ages * DAY_MS).tolist(),
                "n_events": N_HISTORY,
            }
        )
    _write(store, USER_PROFILE, user_ids(), rows, now)
    chosen = (rng.choice(catalogue.n_items, min(N_CANDIDATES, catalogue.n_items), replace=False) + 1).tolist()
    for view in (ITEM_ATTRIBUTES, ITEM_STATS):
        _write(
            store, view, [catalogue.item_id(n) for n in chosen], [_item_row(view, catalogue, n) for n in chosen], now
        )
    (folder / "candidates.json").write_text(json.dumps([catalogue.item_id(n) for n in chosen]))


def user_ids() -> list[str]:
    return [f"user-{number}" for number in range(N_USERS)]


def _store(folder: Path) -> Any:
    from feast import FeatureStore  # noqa: PLC0415 - seconds of import

    from fusionrec.adapters.feast_local import local_config  # noqa: PLC0415

    (folder / "feast").mkdir(exist_ok=True)
    store = FeatureStore(config=local_config(folder))
    made = runpy.run_path("feature_repo/definitions.py")
    names = ("user_entity", "item_entity", "user_profile", "user_session", "item_attributes", "item_stats")
    store.apply([made[name] for name in names])
    return store


def _item_row(view: FeatureView, catalogue: Catalogue, index: int) -> dict[str, Any]:
    read = {"string": catalogue.text, "string_list": catalogue.texts}
    return {
        feature.name: read[feature.dtype](feature.name, index)
        if feature.dtype in read
        else catalogue.numbers(feature.name)[index].item()
        for feature in view.features
    }


def _write(store: Any, view: FeatureView, keys: list[str], rows: list[Any], at: datetime) -> None:
    columns = {feature.name: [row[feature.name] for row in rows] for feature in view.features}
    store.write_to_online_store(view.name, inputs={view.join_key: keys, "event_timestamp": [at] * len(keys), **columns})
