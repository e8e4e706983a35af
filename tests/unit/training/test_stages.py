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


def test_keys_depend_on_every_fact_and_on_the_code() -> None:
    assert key_of("data", 1) != key_of("data", 2)
    assert len(code_hash()) == 64
