"""A promoted bundle drops the updates that it holds already, and a rollback brings them back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from moto import mock_aws

from fusionrec.adapters.item_objects import FolderObjects, S3Objects
from fusionrec.adapters.memory import MemoryObjects
from fusionrec.bundle.manifest import Manifest, read_manifest, write_manifest
from fusionrec.item_log import SNAPSHOT, ItemLog, ItemUpdate, Objects, segment
from tests.suites.item_objects import CountingObjects
from tests.suites.live_shop import LiveShop


@pytest.fixture
def shop(toy_bundle: Path, tmp_path: Path) -> LiveShop:
    """v1 is promoted; v2 can be."""
    folders = {}
    for name in ("v1", "v2"):
        folders[name] = shutil.copytree(toy_bundle, tmp_path / name)
        write_manifest(folders[name], read_manifest(folders[name]).model_copy(update={"model_version": name}))
    shop = LiveShop(folders["v1"], CountingObjects())
    shop.bundles.folders |= folders
    return shop


def train(shop: LiveShop, through: int, log: Objects | None = None) -> None:
    """v2 was trained with the first updates of this log."""
    digest = ItemLog(log or shop.objects).digest(through) if through else ""
    changed = {"items_through": through, "items_log": digest}
    folder = shop.bundles.folders["v2"]
    write_manifest(folder, read_manifest(folder).model_copy(update=changed))


def names(shop: LiveShop) -> list[str]:
    catalogue = shop.models.current().bundle.catalogue
    return [catalogue.text("name", catalogue.index(item_id)) for item_id in ("item-01", "item-02", "item-03")]


def test_attributes_are_dropped_and_prices_are_not(shop: LiveShop) -> None:
    before = names(shop)
    shop.put("item-01", name="told first", priceCents=7, available=False)
    shop.put("item-02", name="told second")
    shop.put("item-03", name="told third")
    assert names(shop) == ["told first", "told second", "told third"]
    train(shop, through=2)
    shop.bundles.current = "v2"
    assert names(shop) == [*before[:2], "told third"]
    catalogue = shop.models.current().bundle.catalogue
    assert catalogue.number("price_cents", 1) == 7
    assert catalogue.unavailable.tolist() == [1]
    shop.bundles.current = "v1"
    assert names(shop) == ["told first", "told second", "told third"]


def test_a_new_item_that_the_bundle_lacks_after_all_stays(shop: LiveShop) -> None:
    shop.put("new", name="rusk", brand="brand 1")
    train(shop, through=1)
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


def test_a_number_of_another_log_shadows_nothing(shop: LiveShop) -> None:
    """Trained on a laptop, whose shop had told of items twice; the cloud's log counts from 1, too."""
    local = CountingObjects()
    for n in range(2):
        ItemLog(local).append(ItemUpdate("item-01", n, {"name": f"local {n}"}))
    shop.put("item-01", name="told first")
    shop.put("item-02", name="told second")
    before = names(shop)
    train(shop, through=2, log=local)
    shop.bundles.current = "v2"
    assert names(shop) == before
    assert before[:2] == ["told first", "told second"]


def test_a_longer_log_of_another_place_shadows_nothing_either(shop: LiveShop) -> None:
    local = CountingObjects()
    for n in range(5):
        ItemLog(local).append(ItemUpdate("item-01", n, {"name": f"local {n}"}))
    shop.put("item-01", name="told first")
    train(shop, through=5, log=local)
    shop.bundles.current = "v2"
    assert names(shop)[0] == "told first"


def test_an_older_manifest_without_the_tie_loads_and_shadows_nothing(shop: LiveShop) -> None:
    shop.put("item-01", name="told first")
    train(shop, through=1)
    folder = shop.bundles.folders["v2"]
    fields = json.loads((folder / "manifest.json").read_text())
    del fields["items_log"]
    (folder / "manifest.json").write_text(json.dumps(fields))
    assert Manifest.model_validate(fields).items_through == 1
    shop.bundles.current = "v2"
    assert names(shop)[0] == "told first"


def test_while_the_log_is_away_everything_said_is_shown_and_the_tie_is_asked_for_again(shop: LiveShop) -> None:
    before = names(shop)
    shop.put("item-01", name="told first")
    assert names(shop)[0] == "told first"
    train(shop, through=1)
    shop.objects.unreachable = True
    shop.bundles.current = "v2"
    assert names(shop)[0] == "told first"
    shop.objects.unreachable = False
    shop.models._items._due_at = 0.0  # the half minute has passed
    assert names(shop) == before


class Counted(Objects):
    """Keeps what is asked of a place."""

    def __init__(self, place: Objects) -> None:
        self.place, self.asked = place, list[str]()

    def get(self, name: str) -> bytes | None:
        self.asked.append(name)
        return self.place.get(name)

    def create(self, name: str, body: bytes) -> bool:
        return self.place.create(name, body)

    def replace(self, name: str, body: bytes) -> None:
        self.place.replace(name, body)


@pytest.fixture(params=["memory", "folder", "s3"])
def thousand(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """A log of 1,000 updates of ten items; of those before the 900th only what is asked for lies there."""
    written = MemoryObjects()
    writer = ItemLog(written)
    for n in range(1000):
        writer.append(ItemUpdate(f"item-{n % 10 + 1:02d}", n, {"name": f"name {n}", "price_cents": n}))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        s3 = botocore.session.get_session().create_client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="shop")
        places = {
            "memory": MemoryObjects,
            "folder": lambda: FolderObjects(tmp_path / "items"),
            "s3": lambda: S3Objects(s3, "s3://shop/items"),
        }
        place = places[request.param]()
        for number in range(901, 1001):
            place.create(segment(number), written.bodies[segment(number)])
        place.replace(SNAPSHOT, written.bodies[SNAPSHOT])
        yield Counted(place)


TOLD = ["name 990", "name 991", "name 992"]  # of the first three items
COLD = [SNAPSHOT, *(segment(number) for number in range(993, 1002))]


def test_a_thousand_updates_cost_ten_reads_a_promotion_one_and_a_rollback_none(
    shop: LiveShop, thousand: Counted
) -> None:
    """The promoted bundle holds 990 of them."""
    reader = LiveShop(shop.bundles.folders["v1"], thousand)
    reader.bundles.folders |= shop.bundles.folders
    assert names(reader) == TOLD
    assert thousand.asked == COLD
    train(reader, through=990)
    thousand.asked.clear()
    reader.bundles.current = "v2"
    assert names(reader) == TOLD
    assert thousand.asked == [segment(990), segment(1001)]  # whose number it is, and the usual look for news
    thousand.asked.clear()
    reader.bundles.current = "v1"
    assert names(reader) == TOLD
    assert thousand.asked == [segment(1001)]


def test_a_cold_start_on_an_older_bundle_reads_as_little(shop: LiveShop, thousand: Counted) -> None:
    """A writer that serves the newer bundle, and a snapshot by it, stand in nobody's way."""
    newer = LiveShop(shop.bundles.folders["v2"], thousand)
    newer.bundles.folders |= shop.bundles.folders
    train(newer, through=990)
    for n in range(24):  # 1,024 is a round number: a snapshot
        newer.put("item-10", name=f"by a writer on the newer bundle {n}")
    older = LiveShop(shop.bundles.folders["v1"], thousand)
    thousand.asked.clear()
    assert names(older) == TOLD
    assert thousand.asked == [SNAPSHOT, segment(1025)]
