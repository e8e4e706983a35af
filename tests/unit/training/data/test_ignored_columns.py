from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from training.cli import app

Shop = Any
HEADER = "userId,itemId,eventType,sentAt,eventValue,sessionId,pricecents,channel"


def test_columns_that_nothing_reads_are_told_on_the_screen(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONREC_HOME", str(shop.home))
    events = shop.events("u1,i1,purchase,2026-03-05T10:00:00Z,,,250,web", header=HEADER)
    words = ["data", "prepare", "--source", "csv", "--events", str(events), "--name", "shop"]
    said = CliRunner().invoke(app, words, catch_exceptions=False).output
    told = "ignored columns of events.csv: channel, pricecents (did you mean priceCents?)"
    assert f"caution: {told}\n" in said
    assert said.count(told) == 1


def test_a_report_of_an_earlier_version_is_shown(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONREC_HOME", str(shop.home))
    path = Path(shop.prepare(shop.events()).folder) / "report.json"
    report = json.loads(path.read_text())
    del report["cautions"]
    path.write_text(json.dumps(report))
    done = CliRunner().invoke(app, ["data", "report", path.parent.name], catch_exceptions=False)
    assert done.exit_code == 0
