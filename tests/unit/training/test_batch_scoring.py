"""Slates in bulk are those of the API, one by one; an interrupted run continues; nothing half-written is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fusionrec.adapters.item_objects import FolderObjects
from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemorySlates
from fusionrec.bundle.loader import Bundle, load_bundle
from fusionrec.contracts.recommendations import RecommendationRequest
from fusionrec.errors import BadInputError, DataError
from fusionrec.feature_spec import DAY_MS, USER_PROFILE
from fusionrec.ports import default_row
from fusionrec.recommend import Recommender
from fusionrec.scoring import Scorer
from tests.suites.live_shop import LiveShop
from tests.suites.serving import active_model, recommender
from training.batch_scoring import SCHEMA, BatchScorer, Options, Profiles, Scored, score, told_of
from training.cli import app
from training.data.dataset import Cutoffs, Dataset
from training.shop import NOW, NOW_MS


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Eleven users with histories of 0 to 8 events, some of them of an item that left the catalogue."""
    rng, made = np.random.default_rng(0), []
    for user in range(11):
        n = int(rng.integers(0, 9)) if user else 0
        items = [f"item-{index:02d}" for index in rng.integers(1, 11, n)]
        items[: n // 4] = ["gone"] * (n // 4)
        types = rng.choice(["view", "cart", "purchase", "removal"], n).tolist()
        ages = np.sort(rng.integers(1, 60, n))[::-1]
        made.append(
            {
                **default_row(USER_PROFILE),
                "user_id": f"u{user:02d}",
                "history_item_ids": items,
                "history_event_types": types,
                "history_sent_at": (NOW_MS - ages * DAY_MS).tolist(),
            }
        )
    return made


@pytest.fixture
def profiles(tmp_path: Path, rows: list[dict]) -> Profiles:
    (tmp_path / "features").mkdir()
    stale = [{**row, "event_timestamp": NOW - timedelta(days=9), "history_item_ids": ["item-09"],
              "history_event_types": ["view"], "history_sent_at": [NOW_MS - 9 * DAY_MS]} for row in rows]  # fmt: skip
    table = pa.Table.from_pylist([*stale, *({**row, "event_timestamp": NOW} for row in reversed(rows))])
    pq.write_table(table, tmp_path / "features" / "user_profile.parquet", coerce_timestamps="us")
    return Profiles(Dataset(tmp_path, "toy", "csv", True, "", Cutoffs(NOW, NOW, NOW), {}, "", {}))


@pytest.fixture(scope="module")
def bundle(toy_bundle: Path) -> Bundle:
    return load_bundle(toy_bundle)


@pytest.fixture(scope="module")
def scorer(bundle: Bundle) -> Scorer:
    return Scorer.open(bundle.ranker, bundle.manifest)


def batch(bundle: Bundle, scorer: Scorer, **options: object) -> BatchScorer:
    return BatchScorer(bundle, scorer, NOW_MS, Options(n_results=6, batch_size=4, **options))  # type: ignore[arg-type]


def slates(path: Path) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for row in pq.read_table(path).to_pylist():
        found.setdefault(row["user_id"], []).append((row["item_id"], row["score"]))
        assert row["rank"] == len(found[row["user_id"]])
    return found


@pytest.mark.parametrize("scenario", ["home", "cart", "email"])
def test_slates_are_those_of_the_api(
    bundle: Bundle,
    scorer: Scorer,
    profiles: Profiles,
    rows: list[dict],
    tmp_path: Path,
    toy_bundle: Path,
    scenario: str,
) -> None:
    """The same users ask the use case one by one, from a feature store that holds the same rows."""
    store = MemoryFeatures(FixedClock(NOW))
    for row in rows:
        store.put(USER_PROFILE, row["user_id"], {k: v for k, v in row.items() if k != "user_id"}, NOW_MS)
    users = [*profiles.user_ids, "nobody"]
    out = tmp_path / "a folder" / "that is made" / "out"
    done = score(batch(bundle, scorer, scenario=scenario), profiles, users, out, lambda *_: None)
    assert done == Scored(n_users=12, n_unknown=1, n_fresh=12)
    found = slates(out)
    assert list(found) == users
    api = recommender(active_model(toy_bundle), store, MemorySlates())
    for user in users:
        asked = {"userId": user, "numResults": 6, "scenario": scenario, "diversity": 0.0}
        answer = api.recommend(RecommendationRequest.model_validate(asked)).item_list
        assert [item for item, _ in found[user]] == [item.item_id for item in answer], user
        np.testing.assert_allclose([s for _, s in found[user]], [item.score for item in answer], rtol=1e-4, atol=1e-4)


@pytest.fixture
def shop(toy_bundle: Path, tmp_path: Path) -> LiveShop:
    """Told of a new item, of one that is sold out, and of a changed one."""
    shop = LiveShop(toy_bundle, FolderObjects(tmp_path / "items"))
    shop.put("new", name="rusk", brand="brand 1", category="bakery rusk")
    shop.put("item-03", available=False)
    shop.put("item-04", name="changed", brand="brand 1")
    return shop


def test_items_are_those_of_the_api_too(
    bundle: Bundle, scorer: Scorer, profiles: Profiles, rows: list[dict], tmp_path: Path, shop: LiveShop
) -> None:
    clock = FixedClock(NOW)
    store = MemoryFeatures(clock)
    looked = {"history_item_ids": ["new"], "history_event_types": ["view"], "history_sent_at": [NOW_MS - DAY_MS]}
    for row in rows:
        store.put(USER_PROFILE, row["user_id"], {k: v for k, v in row.items() if k != "user_id"}, NOW_MS)
    store.put(USER_PROFILE, "u00", looked, NOW_MS)
    table = pq.read_table(tmp_path / "features" / "user_profile.parquet").to_pylist()
    table = [row | looked if row["user_id"] == "u00" and row["event_timestamp"] == NOW else row for row in table]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "features" / "user_profile.parquet", coerce_timestamps="us")
    profiles = Profiles(Dataset(tmp_path, "toy", "csv", True, "", Cutoffs(NOW, NOW, NOW), {}, "", {}))

    told = told_of(bundle, tmp_path)
    work = BatchScorer(bundle, scorer, NOW_MS, Options(n_results=10, batch_size=4), told)
    score(work, profiles, profiles.user_ids, tmp_path / "out", lambda *_: None)
    found = slates(tmp_path / "out")
    api = Recommender(store, shop.models, MemorySlates(), clock)
    for user in profiles.user_ids:
        asked = {"userId": user, "numResults": 10, "diversity": 0.0}
        answer = api.recommend(RecommendationRequest.model_validate(asked)).item_list
        assert [item for item, _ in found[user]] == [item.item_id for item in answer], user
        np.testing.assert_allclose([s for _, s in found[user]], [item.score for item in answer], rtol=1e-4, atol=1e-4)
    shown = {item for slate in found.values() for item, _ in slate}
    assert "new" in shown
    assert "item-03" not in shown


def test_a_longer_log_is_another_job(
    bundle: Bundle, scorer: Scorer, profiles: Profiles, tmp_path: Path, shop: LiveShop
) -> None:
    def run() -> int:
        work = BatchScorer(bundle, scorer, NOW_MS, Options(n_results=6), told_of(bundle, tmp_path))
        return score(work, profiles, profiles.user_ids, tmp_path / "out", lambda *_: None).n_fresh

    assert [run(), run()] == [11, 0]
    shop.put("item-05", available=False)
    assert [run(), run()] == [11, 0]


def test_a_data_set_without_a_log_is_scored_as_the_bundle_is(bundle: Bundle, tmp_path: Path) -> None:
    assert told_of(bundle, tmp_path) is None


def test_an_interrupted_run_continues(bundle: Bundle, scorer: Scorer, profiles: Profiles, tmp_path: Path) -> None:
    work, users, out = batch(bundle, scorer, part_size=3), profiles.user_ids, tmp_path / "out"

    def stop(done: int, total: int) -> None:
        assert total == 11
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(work, profiles, users, out, stop)
    assert not out.exists()
    assert score(work, profiles, users, out, lambda *_: None).n_fresh == 5
    whole = tmp_path / "whole"
    score(work, profiles, users, whole, lambda *_: None)
    assert pq.read_table(out).equals(pq.read_table(whole))
    assert pq.read_schema(out).equals(SCHEMA)
    assert {path.name for path in tmp_path.iterdir()} == {"features", "out", "whole"}


def test_what_is_done_is_not_done_again_unless_something_changed(
    bundle: Bundle, scorer: Scorer, profiles: Profiles, tmp_path: Path
) -> None:
    out, users = tmp_path / "out", profiles.user_ids
    runs = [
        score(work, profiles, asked, out, lambda *_: None).n_fresh
        for work, asked in (
            (batch(bundle, scorer), users),
            (batch(bundle, scorer), users),
            (batch(bundle, scorer, scenario="email"), users),
            (batch(bundle, scorer, scenario="email"), users[:4]),
        )
    ]
    assert runs == [11, 0, 11, 4]


def test_parts_of_another_job_are_thrown_away(
    bundle: Bundle, scorer: Scorer, profiles: Profiles, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(batch(bundle, scorer, part_size=3, scenario="email"), profiles, profiles.user_ids, tmp_path / "out", stop)
    work = batch(bundle, scorer, part_size=3)
    assert score(work, profiles, profiles.user_ids, tmp_path / "out", lambda *_: None).n_fresh == 11


def test_more_results_than_the_model_ranks_are_refused(bundle: Bundle, scorer: Scorer) -> None:
    with pytest.raises(BadInputError, match="ranks 10 items") as caught:
        BatchScorer(bundle, scorer, NOW_MS, Options(n_results=11))
    assert caught.value.pointer == "--n-results"


def test_features_of_another_cut_off_are_not_taken(profiles: Profiles, tmp_path: Path) -> None:
    later = Cutoffs(NOW, NOW, datetime(2027, 1, 1, tzinfo=UTC))
    with pytest.raises(DataError, match="features sync"):
        Profiles(Dataset(tmp_path, "toy", "csv", True, "", later, {}, "", {}))


def test_as_many_other_users_or_another_time_are_another_job(
    bundle: Bundle, scorer: Scorer, profiles: Profiles, tmp_path: Path
) -> None:
    out, users, work = tmp_path / "out", profiles.user_ids, batch(bundle, scorer)
    later = BatchScorer(bundle, scorer, work.now_ms + 86_400_000, work.options)
    asked = ((work, users[:3]), (work, users[3:6]), (later, users[3:6]), (later, users[5:2:-1]))
    assert [score(one, profiles, who, out, lambda *_: None).n_fresh for one, who in asked] == [3, 3, 3, 3]
    assert list(slates(out)) == users[5:2:-1]


@pytest.fixture
def served(
    profiles: Profiles, toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """The command on these users and this bundle."""
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "v1").symlink_to(toy_bundle)
    (tmp_path / "bundles" / "current").write_text("v1")
    dataset = Dataset(tmp_path, "toy", "csv", True, "", Cutoffs(NOW, NOW, NOW), {}, "", {})
    monkeypatch.setattr("training.commands.score.open_dataset", lambda _: dataset)
    return lambda *words: CliRunner().invoke(app, ["score", *words], catch_exceptions=False)


def test_by_default_a_slate_is_no_longer_than_what_the_model_ranks(
    served: Callable[..., Result], tmp_path: Path
) -> None:
    assert served("--out", str(tmp_path / "out.parquet")).exit_code == 0
    found = slates(tmp_path / "out.parquet")
    assert len(found) == 11
    assert max(map(len, found.values())) == 10
    with pytest.raises(BadInputError, match="ranks 10 items, not more"):
        served("--out", str(tmp_path / "more.parquet"), "--n-results", "11")


def test_an_output_that_is_named_as_another_format_is_refused(served: Callable[..., Result], tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"s\.csv is written as Parquet; name it s\.parquet") as refused:
        served("--out", str(tmp_path / "s.csv"))
    assert refused.value.pointer == "--out"
    assert served("--out", str(tmp_path / "s")).exit_code == 0
    assert len(slates(tmp_path / "s")) == 11
