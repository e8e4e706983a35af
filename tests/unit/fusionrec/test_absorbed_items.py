"""A promoted bundle drops the updates that it holds already, and a rollback brings them back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fusionrec.bundle.manifest import read_manifest, write_manifest
from tests.suites.live_shop import LiveShop


@pytest.fixture
def shop(toy_bundle: Path, tmp_path: Path) -> LiveShop:
    """v1 is promoted; v2 was trained with the log's first two updates."""
    folders = {}
    for name, through in (("v1", 0), ("v2", 2)):
        folders[name] = shutil.copytree(toy_bundle, tmp_path / name)
        changed = {"model_version": name, "items_through": through}
        write_manifest(folders[name], read_manifest(folders[name]).model_copy(update=changed))
    shop = LiveShop(folders["v1"])
    shop.bundles.folders |= folders
    return shop


def names(shop: LiveShop) -> list[str]:
    catalogue = shop.models.current().bundle.catalogue
    return [catalogue.text("name", catalogue.index(item_id)) for item_id in ("item-01", "item-02", "item-03")]


def test_attributes_are_dropped_and_prices_are_not(shop: LiveShop) -> None:
    before = names(shop)
    shop.put("item-01", name="told first", priceCents=7, available=False)
    shop.put("item-02", name="told second")
    shop.put("item-03", name="told third")
    assert names(shop) == ["told first", "told second", "told third"]
    shop.bundles.current = "v2"
    assert names(shop) == [*before[:2], "told third"]
    catalogue = shop.models.current().bundle.catalogue
    assert catalogue.number("price_cents", 1) == 7
    assert catalogue.unavailable.tolist() == [1]
    shop.bundles.current = "v1"
    assert names(shop) == ["told first", "told second", "told third"]


def test_a_new_item_that_the_bundle_lacks_after_all_stays(shop: LiveShop) -> None:
    shop.put("new", name="rusk", brand="brand 1")
    shop.bundles.current = "v2"
    model = shop.models.current()
    assert model.bundle.manifest.model_version == "v2"
    assert model.bundle.catalogue.text("name", 11) == "rusk"
    assert model.fresh.placed.tolist() == [True]


def test_a_request_keeps_the_catalogue_that_it_got(shop: LiveShop) -> None:
    held = shop.models.current().bundle.catalogue
    shop.put("item-01", name="changed")
    assert shop.models.current().bundle.catalogue.text("name", 1) == "changed"
    assert held.text("name", 1) != "changed"
    second = shop.models.current()
    shop.put("item-01", name="again")
    shop.models.current()
    assert second.bundle.catalogue.text("name", 1) == "changed"
