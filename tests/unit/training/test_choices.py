"""What options offer is what there is: commands name it themselves, so as not to import torch for a list of names."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusionrec.errors import BadInputError
from tests.suites.small_shop import prepared_shop
from training.cli import app
from training.commands import ablate, search, train
from training.recipe import Recipe
from training.search import spaces
from training.variants import TIES


def test_options_offer_what_there_is() -> None:
    settings = ("fusion", "stacker", "labels", "top_k")
    assert set(ablate.PARTS) == {field.name for field in fields(Recipe)} - set(settings)
    assert list(search.PARTS) == list(spaces.PARTS)
    assert train.TIES == TIES


@pytest.mark.parametrize("names", ["", " , ", ","])
def test_leaving_out_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setenv("FUSIONREC_HOME", str(tmp_path))
    folder = prepared_shop(tmp_path)
    with pytest.raises(BadInputError, match="names no part; there are popularity, ease, transitions") as refused:
        CliRunner().invoke(app, ["ablate", "--data", "shop", "--without", names], catch_exceptions=False)
    assert refused.value.pointer == "--without"
    assert not (folder / "work").exists()


def test_parts_to_leave_out_are_told_apart() -> None:
    assert ablate.left_out(None) == []
    assert ablate.left_out(" ease,, graph,ease") == ["ease", "graph"]
    with pytest.raises(BadInputError, match="'magic' is not one of popularity, ease"):
        ablate.left_out("ease,magic")
