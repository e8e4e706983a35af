"""`features sync`: what it leaves in the stores, and that it continues after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fusionrec.errors import DataError
from fusionrec.feature_spec import ITEM_ATTRIBUTES, ITEM_STATS, USER_PROFILE, USER_SESSION, VIEWS
from training import cli
from training.data import feast_store, sync
from training.data.dataset import Dataset


def run(dataset: Dataset, report: Any = lambda *_: None) -> sync.Progress:
    progress = sync.Progress.load(dataset)
    for stage in sync.STAGES:
        stage(dataset, progress, report)
    return progress


def online(store: Any, view: Any, key: str) -> dict[str, Any]:
    names = [f"{view.name}:{feature.name}" for feature in view.features]
    found = store.get_online_features(features=names, entity_rows=[{view.join_key: key}]).to_dict()
    return {feature.name: found[feature.name][0] for feature in view.features}


@pytest.mark.parametrize("view", [USER_PROFILE, ITEM_ATTRIBUTES, ITEM_STATS], ids=lambda view: view.name)
def test_online_values_are_those_of_the_last_cut_off(shop: Dataset, store: Any, view: Any) -> None:
    rows = feast_store.newest_rows(shop, view).to_pylist()
    assert len(rows) == (7 if view.entity == "user" else 5)
    for row in rows:
        found = online(store, view, row[view.join_key])
        assert found == {feature.name: row[feature.name] for feature in view.features}


def test_the_registry_knows_up_to_when_views_are_materialized(shop: Dataset, store: Any) -> None:
    for view in VIEWS:
        intervals = store.get_feature_view(view.name).materialization_intervals
        assert [end for _, end in intervals] == ([] if view.push_only else [shop.cutoffs.data_end])


def test_a_second_run_has_nothing_to_do(shop: Dataset) -> None:
    progress = sync.Progress.load(shop)
    assert sync.is_done(progress, shop)
    before = {path: path.stat().st_mtime_ns for path in shop.folder.rglob("*") if path.is_file()}
    seen: list[str] = []
    run(shop, lambda what, *_: seen.append(what))
    assert not [what for what in seen if what.startswith("writing")]
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("after", ["computing item_attributes", "applying the definitions", "writing item_stats"])
def test_an_interrupted_sync_continues_where_it_stopped(
    fresh: Dataset, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    monkeypatch.setattr(feast_store, "CHUNK_ROWS", 2)
    first: list[tuple[str, int]] = []

    def interrupt(what: str, done: int, total: int) -> None:
        if what == after and (done > 0 or not what.startswith("writing")):
            raise KeyboardInterrupt
        first.append((what, done))

    with pytest.raises(KeyboardInterrupt):
        run(fresh, interrupt)
    computed = {path.name: path.stat().st_mtime_ns for path in (fresh.folder / "features").glob("*.parquet")}
    second: list[tuple[str, int]] = []
    assert sync.is_done(run(fresh, lambda what, done, _: second.append((what, done))), fresh)
    kept = {path.name: path.stat().st_mtime_ns for path in (fresh.folder / "features").glob("*.parquet")}
    assert computed.items() <= kept.items()  # nothing was computed twice
    writes = [step for step in first + second if step[0].startswith("writing")]
    assert len(writes) == len(set(writes)) == 4 + 3 + 3  # 7 users, 5 items twice, in twos; no chunk was written twice
    assert online(feast_store.open_store(fresh), ITEM_STATS, "i4")["n_events"] == 12
    assert not list(fresh.folder.glob(".features-*"))


def test_new_data_starts_anew_and_leaves_no_stale_row_but_keeps_sessions(synced: Dataset) -> None:
    store = feast_store.open_store(synced)
    session = {feature.name: [feature.default] for feature in USER_SESSION.features} | {"last_event_id": ["e9"]}
    moment = pd.Timestamp("2026-11-01", tz="UTC")
    store.push("user_session_push", pd.DataFrame({"user_id": ["u1"], "event_timestamp": [moment], **session}))
    table = feast_store.newest_rows(synced, USER_PROFILE).slice(0, 1).to_pydict() | {"user_id": ["gone"]}
    store.write_to_online_store("user_profile", df=pd.DataFrame(table))
    assert online(store, USER_PROFILE, "gone")["n_events"] is not None

    path = synced.folder / "dataset.json"
    path.write_text(json.dumps(synced.metadata | {"events_sha256": "0" * 64}))
    again = Dataset.open(synced.folder)
    assert not sync.is_done(sync.Progress.load(again), again)
    run(again)
    reopened = feast_store.open_store(again)
    assert online(reopened, USER_PROFILE, "gone")["n_events"] is None
    assert online(reopened, USER_PROFILE, "u1")["n_events"] > 0
    assert online(reopened, USER_SESSION, "u1")["last_event_id"] == "e9"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"made_from": 1, "surprise": 2}'])
def test_a_damaged_progress_file_means_to_begin_again(fresh: Dataset, text: str) -> None:
    progress = sync.Progress.load(fresh)
    progress.save()
    progress.path.write_text(text)
    assert sync.Progress.load(fresh) == progress


def test_apply_before_compute_says_what_is_missing(fresh: Dataset) -> None:
    with pytest.raises(DataError, match=r"user_profile.* not computed; run `fusionrec features compute`"):
        sync.apply(fresh, sync.Progress.load(fresh), lambda *_: None)


def test_the_command(fresh: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FUSIONREC_HOME", str(Path(fresh.folder).parent))
    for words, said in ((["sync"], "materialize done"), (["sync"], "up to date"), (["apply", "--force"], "apply done"),
                        (["materialize"], "materialize done")):  # fmt: skip
        monkeypatch.setattr("sys.argv", ["fusionrec", "features", *words, "--data", fresh.folder.name])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        assert not exit_.value.code
        assert said in " ".join(capsys.readouterr().out.split())
    assert online(feast_store.open_store(fresh), USER_PROFILE, "u1")["n_events"] > 0


def test_an_emptied_online_store_is_filled_again(synced: Dataset) -> None:
    for file in (synced.folder / "feast").glob("online.db*"):
        file.unlink()
    (synced.folder / "feast" / "online.db").write_bytes(b"")  # what SQLite leaves when a deleted one is opened
    progress = sync.Progress.load(synced)
    assert not sync.is_done(progress, synced)
    run(synced)
    assert online(feast_store.open_store(synced), ITEM_STATS, "i4")["n_events"] is not None
