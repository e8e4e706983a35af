"""What was kept of one reading of the data is never taken for another's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from training.content import rare_terms
from training.interactions import Vocabulary
from training.shop import two_taste_shop
from training.train import Prepared
from training.variants import Variant

ITEMS = tuple(f"item-{number}" for number in range(10))


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    (tmp_path / "items.parquet").write_bytes(b"the catalogue")
    dataset: Any = SimpleNamespace(data_hash="events", cutoffs="cuts", folder=tmp_path, metadata={})
    return Prepared(dataset, two_taste_shop().interactions, Vocabulary(ITEMS))


def test_the_same_reading_has_the_same_key(prepared: Prepared) -> None:
    assert prepared.key("temporal") == replace(prepared).key("temporal")
    assert prepared.catalogue_key == replace(prepared).catalogue_key


def test_another_cut_catalogue_or_set_of_labels_has_another_key(prepared: Prepared) -> None:
    words = rare_terms([set(), *({"sweet" if item <= 5 else "salty"} for item in range(1, 11))], max_share=0.6)
    others = [
        replace(prepared, vocabulary=Vocabulary(ITEMS[::-1])),  # an item more moves every number
        replace(prepared, data=replace(prepared.data, content=words)),
        replace(prepared, labels="some"),
        replace(prepared, variant=Variant(ids_only=True)),
        replace(prepared, variant=Variant(encoder=True)),
        replace(prepared, variant=Variant(ties="shuffled", seed=1)),
        replace(prepared, variant=Variant(ties="shuffled", seed=2)),
    ]
    keys = {prepared.key("temporal"), prepared.key("leave-one-out"), *(other.key("temporal") for other in others)}
    assert len(keys) == 2 + len(others)


def test_a_seed_that_draws_nothing_changes_no_key(prepared: Prepared) -> None:
    one, other = (replace(prepared, variant=Variant(encoder=True, seed=seed)).key("temporal") for seed in (0, 3))
    assert one == other


def test_the_catalogue_and_the_item_log_are_part_of_what_a_bundle_is_kept_under(prepared: Prepared) -> None:
    before = prepared.catalogue_key
    prepared.dataset.metadata["items_through"] = 3
    told = prepared.catalogue_key
    prepared.dataset.metadata["items_log"] = "abc"
    tied = prepared.catalogue_key
    (prepared.dataset.folder / "items.parquet").write_bytes(b"another name")
    assert len({before, told, tied, prepared.catalogue_key}) == 4
