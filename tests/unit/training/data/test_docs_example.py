"""The example of docs/data.md, run as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from training import cli
from training.data.dataset import Dataset

DOCUMENT = Path(__file__).parents[4] / "docs" / "data.md"


def test_the_example_does_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = DOCUMENT.read_text()
    files = dict(re.findall(r"```csv file=(\S+)\n(.*?)```", text, re.DOTALL))
    (command,) = re.findall(r"```sh\n(fusionrec data prepare .*?)\n```", text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FUSIONREC_HOME", raising=False)
    for name in ("events.csv", "items.csv"):
        Path(name).write_text(files[name])
    monkeypatch.setattr("sys.argv", shlex.split(command))
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert not exit_.value.code
    assert "5 → 4" in capsys.readouterr().out
    assert Path("data/corner-shop/quarantine.csv").read_text() == files["quarantine.csv"]
    dataset = Dataset.open(Path("data/corner-shop"))
    assert dataset.counts["n_events"] == 4
    assert [row["name"] for row in dataset.items.to_pylist()] == ["Blue cup", "Green tea"]


def test_every_rule_and_source_is_on_the_page() -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    from training.commands.data import SOURCES as offered  # noqa: N811, PLC0415
    from training.data import rules  # noqa: PLC0415
    from training.data.sources.registry import SOURCES  # noqa: PLC0415

    text = DOCUMENT.read_text()
    every = (
        *rules.line_rules(datetime.now(UTC)),
        *rules.duplicate_rules(),
        *rules.outlier_rules(1, 1),
        *rules.bot_rules(1),
        rules.rare_item_rule(1),
        rules.rare_user_rule(1),
    )
    assert [rule.name for rule in every if f"`{rule.name}`" not in text] == []
    assert tuple(SOURCES) == offered
    assert [name for name in SOURCES if f"| `{name}` |" not in text] == []
