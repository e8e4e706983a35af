"""All or nothing, and only when something changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionrec.bundle.manifest import hash_files, sha256_of
from fusionrec.errors import DataError
from training.data import output
from training.data.dataset import EVENTS_SCHEMA, ITEMS_SCHEMA, USERS_SCHEMA, Dataset

Shop = Any


def columns(schema: pa.Schema) -> list[tuple[str, str]]:
    return [(field.name, str(field.type).replace("element:", "item:")) for field in schema]


def test_the_tables_have_the_documented_columns_and_order(shop: Shop) -> None:
    dataset = shop.prepare(shop.events(), items=shop.write("items.csv", "itemId,name\ni0,Tea\ni77,Unsold\n"))
    assert columns(dataset.events.schema) == columns(EVENTS_SCHEMA)
    assert columns(dataset.items.schema) == columns(ITEMS_SCHEMA)
    assert columns(dataset.users.schema) == columns(USERS_SCHEMA)
    keys = list(zip(dataset.events["user_id"].to_pylist(), dataset.events["position"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert dataset.items["item_id"].to_pylist() == ["i0", "i1", "i2", "i3", "i4", "i77"]
    assert dataset.items["name"].to_pylist()[:2] == ["Tea", "Item i1"]
    assert dataset.data_hash == sha256_of(dataset.folder / "events.parquet")


def test_a_second_run_reuses_what_is_there(shop: Shop) -> None:
    events = shop.events()
    first = shop.prepare(events)
    before = hash_files(first.folder)
    again = shop.prepare(events)
    assert shop.reused
    assert shop.steps == ["finding the files"]
    assert again.metadata == first.metadata
    assert hash_files(first.folder) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda shop, _: shop.prepare(shop.events("u1,i2,view,2026-03-06T10:00:00Z,,,,")),
        lambda shop, events: shop.prepare(events, min_item_users=2),
        lambda shop, events: shop.prepare(events, test_days=3),
        lambda shop, events: shop.prepare(events, force=True),
        lambda shop, events: shop.prepare(events, items=shop.write("items.csv", "itemId\ni1\n")),
    ],
    ids=["events", "rare items", "test days", "force", "items"],
)
def test_other_inputs_or_options_prepare_again(shop: Shop, change: Any) -> None:
    events = shop.events()
    shop.prepare(events)
    change(shop, events)
    assert not shop.reused


def test_an_option_that_equals_the_default_is_no_change(shop: Shop) -> None:
    events = shop.events()
    shop.prepare(events)
    shop.prepare(events, min_item_users=1)
    assert shop.reused


@pytest.mark.parametrize("damage", ["events.parquet", "graph/edges.parquet", "dataset.json"])
def test_damaged_output_is_prepared_again(shop: Shop, damage: str) -> None:
    events = shop.events()
    dataset = shop.prepare(events)
    good = sha256_of(dataset.folder / "events.parquet")
    if damage == "events.parquet":
        (dataset.folder / damage).write_bytes(b"PAR1")
    else:
        (dataset.folder / damage).unlink()
    again = shop.prepare(events)
    assert not shop.reused
    assert sha256_of(again.folder / "events.parquet") == good  # the same bytes from the same inputs


@pytest.mark.parametrize("stage", ["write_tables", "edges", "write_metadata"])
def test_a_failure_half_way_leaves_earlier_output_untouched(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    shop.prepare(shop.events())
    before = hash_files(shop.home)

    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, stage, full_disk)
    with pytest.raises(OSError, match="No space left"):
        shop.prepare(shop.events("u1,i2,view,2026-03-06T10:00:00Z,,,,"))
    assert hash_files(shop.home) == before
    assert len(list(shop.home.iterdir())) == 1


def test_what_others_wrote_into_the_folder_stays(shop: Shop) -> None:
    dataset = shop.prepare(shop.events())
    (dataset.folder / "bundles").mkdir()
    (dataset.folder / "bundles" / "current").write_text("v1")
    shop.prepare(shop.events(), force=True)
    assert (dataset.folder / "bundles" / "current").read_text() == "v1"


def test_parquet_gives_the_same_data_as_csv(shop: Shop, tmp_path: Path) -> None:
    events = shop.events("u1,i1,gaze,2026-03-05T10:00:00Z,,,,")
    from_csv = shop.prepare(events, name="from-csv")
    rows = [line.split(",") for line in events.read_text().splitlines()[1:]]
    times = pa.array([row[3].rstrip("Z") for row in rows]).cast(pa.timestamp("ns"))  # as pandas writes them
    table = pa.table(
        {
            "userId": [row[0] for row in rows],
            "itemId": [row[1] for row in rows],
            "eventType": [row[2] for row in rows],
            "sentAt": times,
            "eventValue": pa.array([float(row[4]) if row[4] else None for row in rows]),
            "priceCents": pa.array([int(row[6]) if row[6] else None for row in rows]),
            "discountCents": pa.array([int(row[7]) if row[7] else None for row in rows]),
        }
    )
    path = tmp_path / "events.parquet"
    pq.write_table(table, path)
    from_parquet = shop.prepare(path, name="from-parquet")
    assert from_parquet.events == from_csv.events
    (row,) = shop.quarantine(from_parquet)
    assert (row["line"], row["value"]) == ("61", "gaze")  # the row's number


def test_tsv_and_gzip(shop: Shop, tmp_path: Path) -> None:
    import gzip  # noqa: PLC0415

    events = shop.events()
    path = tmp_path / "events.tsv.gz"
    path.write_bytes(gzip.compress(events.read_bytes().replace(b",", b"\t")))
    assert shop.prepare(path, name="zipped").events == shop.prepare(events).events


def test_unknown_columns_become_attributes_or_are_named_in_the_report(shop: Shop) -> None:
    events = shop.events("u1,i1,view,2026-03-05T10:00:00Z,,,,,web", base=False, header=f"{HEADER},channel")
    items = shop.write("items.csv", 'itemId,name,colour,size\ni1,"Tea, green",,large\n')
    users = shop.write("users.csv", "userId,country\nu1,FR\nu2,DE\n")
    dataset = shop.prepare(events, items=items, users=users)
    assert dataset.items.to_pylist()[0]["name"] == "Tea, green"
    assert dataset.items["attributes"].to_pylist() == [["size=large"]]
    assert dataset.users.to_pylist() == [{"user_id": "u1", "attributes": ["country=FR"]}]
    told = "ignored columns of events.csv: channel"
    assert json.loads((dataset.folder / "report.json").read_text())["cautions"] == [told]
    assert told in (dataset.folder / "report.md").read_text()


HEADER = "userId,itemId,eventType,sentAt,eventValue,sessionId,priceCents,discountCents"


def test_a_damaged_table_is_named_when_it_is_read(shop: Shop) -> None:
    dataset = shop.prepare(shop.events())
    (dataset.folder / "users.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="cannot be read") as error:
        _ = Dataset.open(dataset.folder).users
    assert error.value.pointer.endswith("users.parquet")


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 99}'])
def test_foreign_metadata_is_refused(shop: Shop, text: str) -> None:
    dataset = shop.prepare(shop.events())
    (dataset.folder / "dataset.json").write_text(text)
    with pytest.raises(DataError) as error:
        Dataset.open(dataset.folder)
    assert error.value.pointer.endswith("dataset.json")
