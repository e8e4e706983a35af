from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training import export


@pytest.mark.parametrize("ended", [KeyboardInterrupt(), OSError("no space left")])
def test_an_export_that_does_not_end_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: BaseException
) -> None:
    def begun(_: Any, path: Path) -> None:
        path.write_bytes(b"half a graph")
        raise ended

    monkeypatch.setattr(export, "export_ranker", begun)
    nothing: Any = None
    with pytest.raises(type(ended)):
        export.write_bundle(tmp_path / "bundles" / "v1", nothing, nothing)
    assert not list((tmp_path / "bundles").iterdir())
