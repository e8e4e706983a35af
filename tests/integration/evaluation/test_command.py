"""`fusionrec evaluate` on small data of each kind, with no switch that names one: parts, fusion, table, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from training.cli import app
from training.data.prepare import Options, prepare
from training.data.sources.frame import Inputs
from training.data.sources.registry import source_named

N_USERS, N_ITEMS = 60, 24


def histories(seed: int = 0) -> list[list[int]]:
    """Users walk along a ring of items from a random place, with a slip now and then: transitions tell the next."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(N_USERS):
        steps = rng.choice([1, 1, 1, 2, 5], size=rng.integers(6, 12))
        rows.append(((rng.integers(N_ITEMS) + np.cumsum(steps)) % N_ITEMS + 1).tolist())
    return rows


def prepared_sequences(home: Path) -> None:
    """One user a line, no times, words, and the shop's own ids."""
    folder = home / "file"
    folder.mkdir(parents=True)
    lines = [" ".join(map(str, [user, *items])) for user, items in enumerate(histories(), start=1)]
    (folder / "toy.txt").write_text("\n".join(lines) + "\n")
    words = "\n".join(f"{item}\tB{item:02d}\tthing of kind k{item % 6} and size s{item % 8}" for item in range(1, 25))
    (folder / "items.tsv").write_text("item_id\tasin\tshort_text\n" + words + "\n")
    own = {str(item): f"B{item:02d}" for item in range(1, N_ITEMS + 1)}
    (folder / "datamaps.json").write_text(json.dumps({"id2item": own}))
    prepare(source_named("amazon-sequences"), Inputs(home=home, path=folder), "toy", Options(), lambda _: None)


def evaluate(home: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[dict[str, Any], str]:
    monkeypatch.setenv("FUSIONREC_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "100")
    out = home / "result.json"
    done = CliRunner().invoke(app, ["evaluate", "--data", "toy", "--out", str(out), *options])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return json.loads(out.read_text()), done.output


@pytest.mark.slow
def test_a_file_without_times_in_all_its_readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared_sequences(tmp_path)
    plain, shown = evaluate(tmp_path, monkeypatch, "--details")
    assert (plain["protocol"], plain["ids_only"], plain["ties"]["order"]) == ("leave-one-out", False, "file")
    assert plain["n_users"] == N_USERS
    assert {"most_popular", "fusion", plain["best_part"]} <= set(plain["models"])
    assert plain["models"]["fusion"]["ndcg@10"]["mean"] > plain["models"]["most_popular"]["ndcg@10"]["mean"]
    assert {cut["by"] for cut in plain["segments"]} == {"history", "target"}
    assert plain["diversity_by"] == "content"
    parts = set(plain["models"]) - {"most_popular", "fusion"}
    assert parts <= set(plain["costs"])
    assert all(cost["cpu_seconds"] >= 0 and cost["peak_mib"] > 0 for cost in plain["costs"].values())
    assert "history: 6-20" in shown
    other, _ = evaluate(tmp_path, monkeypatch, "--ids-only", "--ties", "shuffled")
    assert other["ties"] == {"order": "shuffled", "told_by": "rising in the catalogue's order"}
    assert other["ids_only"]
    assert other["key"] != plain["key"]
    assert other["diversity_by"] == "content"  # the same yardstick
    assert "content" not in other["models"]
    folder = tmp_path / "toy" / "evaluation"
    names = ["leave-one-out-mask", "leave-one-out-mask-ids-only-ties-shuffled"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{n}.{e}" for n in names for e in ("json", "svg"))


@pytest.mark.slow
def test_a_shop_with_times_and_categories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["userId,itemId,eventType,sentAt"]
    for user, items in enumerate(histories()):
        days = np.linspace(0, 99, len(items)).astype(int)
        lines += [f"u{user},i{item},purchase,{86_400 * (20_000 + day)}" for item, day in zip(items, days, strict=True)]
    (tmp_path / "events.csv").write_text("\n".join(lines) + "\n")
    rows = [f"i{item},Thing {item},Kind {item % 4}" for item in range(1, N_ITEMS + 3)]  # two were never sold
    (tmp_path / "items.csv").write_text("\n".join(["itemId,name,category", *rows]) + "\n")
    inputs = Inputs(home=tmp_path, events=tmp_path / "events.csv", items=tmp_path / "items.csv")
    prepare(source_named("csv"), inputs, "toy", Options(), lambda _: None)
    found, _ = evaluate(tmp_path, monkeypatch, "--ties", "shuffled")
    assert found["protocol"] == "temporal"
    assert found["ties"]["told_by"] == "same moment"
    assert "miscalibration@10" in found["models"]["fusion"]
    assert len({point["diversity@10"]["mean"] for point in found["trade_off"]}) > 1


def test_an_unknown_order_of_ties_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared_sequences(tmp_path)
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["evaluate", "--data", "toy", "--ties", "sorted"])
    assert done.exit_code != 0
    assert "file, shuffled" in str(done.exception)
