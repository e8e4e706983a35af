"""Long work is done once, and an interruption leaves nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.models.protocol import Run
from training.stages import Stages, code_hash, key_of


def test_work_is_done_once_per_key(tmp_path: Path) -> None:
    calls: list[int] = []

    def work(run: Run) -> int:
        calls.append(1)
        run.progress(0.5)
        return len(calls)

    heard: list[tuple[str, float]] = []
    stages = Stages(tmp_path, lambda what, share: heard.append((what, share)))
    assert [stages.once("a", "k1", work), stages.once("a", "k1", work), stages.once("a", "k2", work)] == [1, 1, 2]
    assert heard[:4] == [("a", 0.0), ("a", 0.5), ("a", 1.0), ("a (kept)", 1.0)]


def test_an_interruption_keeps_the_checkpoint_and_no_result(tmp_path: Path) -> None:
    def broken(run: Run) -> int:
        assert run.checkpoint is not None
        run.checkpoint.write_bytes(b"half")
        raise KeyboardInterrupt

    stages = Stages(tmp_path, lambda what, share: None)
    with pytest.raises(KeyboardInterrupt):
        stages.once("a", "k", broken)
    assert [path.suffix for path in tmp_path.iterdir()] == [".checkpoint"]
    assert stages.once("a", "k", lambda run: 7) == 7
    assert [path.suffix for path in tmp_path.iterdir()] == [".pt"]


def test_keys_depend_on_every_fact() -> None:
    assert key_of("data", 1) != key_of("data", 2)


def test_the_code_that_counts_is_a_module_and_all_that_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "training"
    package.mkdir()
    files = {"__init__": "", "ease": "from training import rows\n", "rows": "x = 1\n", "attention": "y = 1\n"}
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.setattr("training.__file__", str(package / "__init__.py"))
    before = code_hash(["training.ease"])
    (package / "attention.py").write_text("y = 2\n")
    assert code_hash(["training.ease"]) == before
    (package / "rows.py").write_text("x = 2\n")
    assert code_hash(["training.ease"]) != before


def test_the_cost_of_a_stage_is_kept_with_its_result(tmp_path: Path) -> None:
    def work(run: Run) -> int:
        return len(bytearray(64 * 2**20))

    first, second = (Stages(tmp_path, lambda what, share: None) for _ in range(2))
    assert first.once("a", "k", work) == second.once("a", "k", work)
    assert first.costs["a"] == second.costs["a"]
    assert first.costs["a"].seconds >= 0
    assert first.costs["a"].peak_mib > 64
