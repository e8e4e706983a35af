"""`fusionrec search --minutes 0` looks at what earlier runs found, and does nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusionrec.errors import BadInputError
from tests.suites.small_shop import prepared_shop
from training.cli import app
from training.search import evidence as evidence_module


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    return prepared_shop(tmp_path)


def search(*words: str) -> str:
    done = CliRunner().invoke(app, ["search", "--part", "ease", "--data", "shop", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def files(shop: Path) -> dict[Path, tuple[int, bytes]]:
    """All there is at home: when it was written, and what stands in it."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in shop.parent.rglob("*") if path.is_file()}


def test_where_nothing_was_searched_it_is_refused_and_leaves_nothing(shop: Path) -> None:
    before = sorted(shop.rglob("*"))
    with pytest.raises(BadInputError, match="none finished a trial of ease as it is set now") as refused:
        search("--minutes", "0")
    assert refused.value.pointer == "--minutes"
    assert sorted(shop.rglob("*")) == before


def test_it_tells_what_was_found_and_writes_nothing(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = search("--minutes", "0.001")
    before = files(shop)
    monkeypatch.setenv("WANDB_MODE", "offline")
    looked = search("--minutes", "0")
    assert files(shop) == before
    assert looked.startswith("best of ")
    assert found.partition(looked)[1:] == (looked, f"written: {shop / 'search' / 'best-ease.json'}\n")


def test_what_proved_better_comes_into_use_by_a_run_alone(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search("--minutes", "0.001", "--no-apply")
    before, plain = files(shop), evidence_module.evidence
    monkeypatch.setattr(evidence_module, "evidence", lambda *given: {**plain(*given), "better": True})
    assert "not in use; a run with --apply and some --minutes takes them into use" in " ".join(
        search("--minutes", "0").split()
    )
    assert files(shop) == before


def test_trials_of_other_users_do_not_count(shop: Path) -> None:
    search("--minutes", "0.001")
    with pytest.raises(BadInputError, match="with these --users and --seed and this code; give the same, or more"):
        search("--minutes", "0", "--users", "2", "--seed", "5")
