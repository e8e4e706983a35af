"""The reader of the retail panel, on a small wheel of the same form."""

from __future__ import annotations

import hashlib
import itertools
import zipfile
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.suites.sources import make_wheel, rules, run
from training.data.sources import completejourney
from training.data.sources.retail_names import product_name, readable


def parquet_bytes(rows: list[dict[str, Any]], schema: list[tuple[str, pa.DataType]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(schema)), sink)
    return bytes(sink.getvalue())


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    integer, real, text = pa.int64(), pa.float64(), pa.string()
    lines = [
        # household, basket, product, quantity, sales, loyalty, coupon, match
        (1, 11, 100, 2, 5.00, 1.00, 0.0, 0.0),  # 2.50 each, 0.50 off
        (1, 11, 101, 1, 0.00, 1.29, 0.0, 0.0),  # free by discount
        (1, 11, 102, 9000, 25.00, 0.00, 0.0, 0.0),  # petrol
        (1, 11, 103, 1, 1.00, 0.00, 0.0, 0.0),  # a coupon
        (1, 11, 104, 1, 1.00, 0.00, 0.0, 0.0),  # nameless
        (2, 12, 100, 0, 2.00, 0.00, 0.0, 0.0),  # nothing bought
        (2, 13, 105, 1, 3.00, 0.00, 0.0, 0.0),  # no such product
    ]
    names = ("household_id", "basket_id", "product_id", "quantity", "sales_value", "retail_disc", "coupon_disc")
    transactions = [
        dict(zip((*names, "coupon_match_disc"), line, strict=True))
        | {
            "store_id": 1,
            "week": 1,
            "transaction_timestamp": pa.scalar("2017-03-01T10:00:00").cast(pa.timestamp("us")).as_py(),
        }
        for line in lines
    ]
    products = [
        (100, 69, "GROCERY", "Private", "FRZN PIZZA", "PIZZA/PREMIUM", "12 OZ"),
        (101, 2, "GROCERY", "National", "ICE CREAM/MILK/SHERBTS", "PREMIUM", None),
        (102, 1, "FUEL", "National", "COUPON/MISC ITEMS", "GASOLINE-REG UNLEADED", None),
        (103, 1, "COUPON", "National", "COUPON", "STORE COUPON", None),
        (104, 1, "MISCELLANEOUS", "National", None, None, None),
    ]
    product_names = (
        "product_id",
        "manufacturer_id",
        "department",
        "brand",
        "product_category",
        "product_type",
        "package_size",
    )
    people = [dict.fromkeys(completejourney.DEMOGRAPHICS) | {"household_id": 1, "age": "45-54", "kids_count": "0"}]
    tables = [
        parquet_bytes(
            transactions,
            [(n, integer) for n in (*names[:4], "store_id", "week")]
            + [(n, real) for n in (*names[4:], "coupon_match_disc")]
            + [("transaction_timestamp", pa.timestamp("us"))],
        ),
        parquet_bytes(
            [dict(zip(product_names, product, strict=True)) for product in products],
            [(n, integer) for n in product_names[:2]] + [(n, text) for n in product_names[2:]],
        ),
        parquet_bytes(people, [("household_id", integer)] + [(n, text) for n in completejourney.DEMOGRAPHICS]),
    ]
    return make_wheel(tmp_path / "panel.whl", dict(zip(completejourney.TABLES, tables, strict=True)))


def test_the_retail_panel(panel: Path, tmp_path: Path) -> None:
    dataset = run(completejourney.SOURCE, tmp_path / "data", panel, min_item_users=1)
    assert rules(dataset) == {"fuel": 1, "coupon-line": 1, "unnamed-product": 2, "zero-quantity": 1}
    events = {row["item_id"]: row for row in dataset.events.to_pylist()}
    assert set(events) == {"100", "101"}
    assert (events["100"]["price_cents"], events["100"]["discount_cents"], events["100"]["event_value"]) == (
        250,
        50,
        2.0,
    )
    assert (events["101"]["price_cents"], events["101"]["discount_cents"]) == (0, 129)
    assert events["100"]["session_id"] == "11"
    items = {row["item_id"]: row for row in dataset.items.to_pylist()}
    assert items["100"]["name"] == "Pizza/Premium, 12 oz, Own Brand"
    assert items["101"]["name"] == "Ice Cream/Milk/Sherbets: Premium, Brand 2"
    assert items["100"]["department"] == "Grocery"
    assert items["100"]["category"] == "Frozen Pizza"
    assert dataset.users.to_pylist() == [{"user_id": "1", "attributes": ["age=45-54", "kids_count=0"]}]
    assert dataset.currency == "USD"


def test_the_order_inside_a_basket_is_that_of_md5_whatever_the_engine() -> None:
    table = ibis.duckdb.connect().create_table("lines", ibis.memtable({"text": ["31198570044-995242", "x"]}))
    numbers = table.mutate(number=completejourney.number_of(table.text)).to_pyarrow()["number"].to_pylist()
    assert numbers == [int(hashlib.md5(text).hexdigest()[:7], 16) for text in (b"31198570044-995242", b"x")]


def test_the_order_inside_a_basket_does_not_follow_product_numbers(tmp_path: Path, panel: Path) -> None:
    dataset = run(completejourney.SOURCE, tmp_path / "data", wide_basket(panel, tmp_path), min_item_users=1)
    items = [int(item) for item in dataset.events["item_id"].to_pylist()]
    ups = sum(later > earlier for earlier, later in itertools.pairwise(items))
    assert len(items) == 200
    assert 60 < ups < 140  # about half; the file's own order would give 199


def wide_basket(panel: Path, tmp_path: Path) -> Path:
    """The panel with one basket of 200 products, sorted by product number, as the real file has them."""
    with zipfile.ZipFile(panel) as archive:
        members = {name: archive.read(name) for name in completejourney.TABLES}
    lines = pq.read_table(pa.BufferReader(members[completejourney.TABLES[0]])).slice(0, 1).to_pylist() * 200
    products = pq.read_table(pa.BufferReader(members[completejourney.TABLES[1]])).slice(0, 1).to_pylist() * 200
    for place, name in ((0, lines), (1, products)):
        schema = pq.read_schema(pa.BufferReader(members[completejourney.TABLES[place]]))
        rows = [row | {"product_id": 1000 + n} for n, row in enumerate(name)]
        members[completejourney.TABLES[place]] = parquet_bytes(rows, list(zip(schema.names, schema.types, strict=True)))
    return make_wheel(tmp_path / "wide.whl", members)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SFT DRNK 2 LITER BTL CARB INCL", "Soft Drink 2 Liter Bottle Carbonated"),
        ("FRZN MEAT/MEAT DINNERS", "Frozen Meat/Meat Dinners"),
        ("DAIRY CASE 100% PURE JUICE - O", "Dairy Case 100% Pure Juice O"),
        ("CANDY BARS (SINGLES)(INCLUDING", "Candy Bars"),
        ("PAPER TOWELS & HOLDERS", "Paper Towels and Holders"),
        (None, ""),
    ],
)
def test_till_abbreviations_are_written_out(text: str | None, words: str) -> None:
    assert readable(text) == words


def test_a_product_without_a_type_is_named_by_its_category() -> None:
    assert product_name(None, "BREAD", "2 L", "Brand 7") == "Bread, 2 L, Brand 7"
