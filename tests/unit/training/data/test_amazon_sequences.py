"""The reader of files with one user a line, on small ones of the same form."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionrec.errors import DataError
from tests.suites.sources import rules, run
from training.data.sources import amazon_sequences


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
