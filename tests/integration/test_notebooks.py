"""The notebooks run from the first cell to the last, on the toy shop, and carry no outputs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one namespace, as a kernel would; a cell may hold plain Python only."""
    import matplotlib  # noqa: PLC0415 - the backend has to be chosen before a cell imports pyplot

    matplotlib.use("agg")
    monkeypatch.setenv("FUSIONREC_HOME", os.fspath(tmp_path))
    monkeypatch.chdir(tmp_path)
    from matplotlib import pyplot as plt  # noqa: PLC0415

    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(path)):
        exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), namespace)
    drawn = [figure for figure in map(plt.figure, plt.get_fignums()) if figure.axes]
    plt.close("all")
    assert len(drawn) >= 3
    assert len(namespace["slate"]) == 10


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(path: Path) -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code_cells(path))


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
