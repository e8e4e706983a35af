"""By what the re-ranker is told that items are alike, read from the catalogue of a data set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fusionrec.bundle.catalogue import MOST_KINDS
from training.background import item_attributes, item_categories
from training.interactions import Vocabulary

VOCABULARY = Vocabulary(("tea", "rye", "fig", "new"))


def dataset(*rows: tuple[str, str, list[str] | None]) -> Any:
    """Of rows of item, category, attributes."""
    names = ("item_id", "category", "attributes")
    return SimpleNamespace(items=pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]))


def test_attributes_stand_in_the_row_of_their_item() -> None:
    """Also those that one item alone has, and of items in another order than the vocabulary's."""
    rows = [("fig", "", ["c=1", "only=fig"]), ("tea", "", ["a=1"]), ("gone", "", ["a=1"]), ("rye", "", None)]
    found = item_attributes(dataset(*rows, ("new", "", ["a=1", "c=1", "b=1"])), VOCABULARY)
    assert found.shape == (5, 3)
    tea, fig, new = found[1], found[3], found[4]
    assert not found[[0, 2]].any()
    assert not tea[1:].any()
    assert not fig[2:].any()
    assert new[0] == tea[0]
    assert new[1] == fig[0]
    assert len({tea[0], fig[0], fig[1], new[2]}) == 4
    assert np.count_nonzero(found == fig[1]) == 1


def test_the_first_attributes_of_an_item_count() -> None:
    many = [f"a={n}" for n in range(MOST_KINDS + 5)]
    found = item_attributes(dataset(("tea", "", many), ("rye", "", many[-1:])), VOCABULARY)
    assert found.shape == (5, MOST_KINDS)
    assert len(set(found[1].tolist())) == MOST_KINDS
    assert found[2, 0] not in found[1]


@pytest.mark.parametrize("told", [True, False])
def test_categories_are_told_where_any_item_has_one(told: bool) -> None:
    found = item_categories(
        dataset(("fig", "fruit" * told, []), ("tea", "drink" * told, []), ("rye", "", [])), VOCABULARY
    )
    if not told:
        assert found is None
        return
    assert found is not None
    assert (found > 0).tolist() == [False, True, False, True, False]
    assert found[1] != found[3]
