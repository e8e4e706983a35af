"""What options offer is what there is: commands name it themselves, so as not to import torch for a list of names."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from fusionrec.errors import BadInputError
from tests.suites.small_shop import prepared_shop
from training.cli import app
from training.commands import ablate, score, search, serve, train
from training.recipe import Recipe
from training.results import places
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


def test_the_json_goes_into_a_folder_that_is_there_or_to_the_file(tmp_path: Path) -> None:
    dataset: Any = SimpleNamespace(folder=tmp_path / "shop", name="shop")
    kept = tmp_path / "shop" / "evaluation" / "ablation.json"
    assert places(dataset, "ablation.json", None) == [kept]
    assert places(dataset, "ablation.json", tmp_path) == [kept, tmp_path / "shop-ablation.json"]
    assert places(dataset, "ablation.json", tmp_path / "new" / "x") == [kept, tmp_path / "new" / "x"]


def test_slates_go_to_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"is a folder; name the file, such as .*slates\.parquet") as refused:
        CliRunner().invoke(app, ["score", "--data", "shop", "--out", str(tmp_path)], catch_exceptions=False)
    assert refused.value.pointer == "--out"


@pytest.mark.parametrize(("text", "why"), [(None, "No such file or directory"), (b"\xff", "it is not UTF-8")])
def test_users_that_cannot_be_read_are_told_in_words(tmp_path: Path, text: bytes | None, why: str) -> None:
    path, profiles = tmp_path / "users.txt", SimpleNamespace(user_ids=["u0"])
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(BadInputError) as refused:
        score._users(str(path), profiles)  # type: ignore[arg-type]
    assert str(refused.value) == f"{path} cannot be read ({why}); give `all` or a text file"


def test_the_variable_names_the_data_to_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONREC_DATASET", "shop")
    assert serve._folder("").name == "shop"
    assert serve._next("shop") == "fusionrec serve --open"
    assert serve._next("movielens-100k") == "fusionrec serve --data movielens-100k --open"
    with pytest.raises(BadInputError, match="is no name for a data set") as refused:
        serve._folder("../shop")
    assert refused.value.pointer == "--data"
