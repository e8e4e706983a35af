from pathlib import Path

import numpy as np
import pytest

from fusionrec.bundle import catalogue as module
from fusionrec.bundle.catalogue import MOST_KINDS, Catalogue, vocabulary_hash, write_catalogue
from fusionrec.bundle.live import LiveCatalogue
from fusionrec.errors import BundleMissingError, BundleTamperedError, DataError, VocabularyError
from fusionrec.item_log import Stamped

IDS = ["milk", "naïve-crêpe", "", "日本/茶", "milk\0", "x" * 300, "7"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_catalogue(
        tmp_path / "catalogue",
        IDS,
        {
            "category": ["dairy", "food", "", "food", "dairy", "", "tools"],
            "attributes": [["a=1", "b=2"], [], ["a=1"], [], [], ["c=é"], []],
            "price_cents": np.arange(100, 107),
            "embedding": np.ones((7, 3), np.float32),
        },
    )
    return tmp_path / "catalogue"


def test_every_id_is_found_at_its_row(folder: Path) -> None:
    table = Catalogue.load(folder)
    assert table.find(IDS).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert [table.item_id(index) for index in range(1, 8)] == IDS
    assert table.find(["unknown", "mil", "milk\0\0", "\ud800"]).tolist() == [0, 0, 0, 0]


def test_ids_whose_hashes_collide_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_hash", len)
    write_catalogue(tmp_path, ["aa", "b", "cc", "dd", "e"], {})
    table = Catalogue.load(tmp_path)
    assert table.find(["dd", "aa", "e", "cc", "zz", "b", "longest"]).tolist() == [4, 1, 5, 3, 0, 2, 0]


def test_columns_keep_their_values_and_gain_the_padding_row(folder: Path) -> None:
    table = Catalogue.load(folder)
    assert [table.text("category", index) for index in range(8)] == [
        "", "dairy", "food", "", "food", "dairy", "", "tools",
    ]  # fmt: skip
    assert [table.texts("attributes", index) for index in range(8)] == [
        [], ["a=1", "b=2"], [], ["a=1"], [], [], ["c=é"], [],
    ]  # fmt: skip
    assert table.numbers("price_cents").tolist() == [0, 100, 101, 102, 103, 104, 105, 106]
    assert table.numbers("embedding").shape == (8, 3)
    assert table.codes("category").tolist() == [0, 1, 2, 0, 2, 1, 0, 3]


@pytest.fixture
def tagged(tmp_path: Path) -> Catalogue:
    """Three items with attributes and no category."""
    many = [f"t={n}" for n in range(MOST_KINDS + 5)]
    columns = {"category": ["", "", ""], "attributes": [["a=1", "b=2"], [], ["a=1", *many]]}
    write_catalogue(tmp_path / "tagged", ["x", "y", "z"], columns)
    return Catalogue.load(tmp_path / "tagged")


def test_items_are_of_their_category_where_the_catalogue_has_any(folder: Path) -> None:
    assert Catalogue.load(folder).kinds_of(np.array([1, 3, 5])).tolist() == [[1], [0], [1]]


def test_else_items_are_of_their_first_attributes(tagged: Catalogue) -> None:
    kinds = tagged.kinds_of(np.array([1, 2, 3, 0]))
    assert kinds.shape == (4, MOST_KINDS)
    assert [tagged.values("attributes")[code] for code in kinds[0, :2].tolist()] == ["a=1", "b=2"]
    assert not kinds[0, 2:].any()
    assert not kinds[[1, 3]].any()
    assert kinds[2, 0] == kinds[0, 0]
    assert len(set(kinds[2].tolist())) == MOST_KINDS
    assert tagged.kinds_of(np.array([2])).shape == (1, 0)
    assert tagged.kinds_of(np.zeros(0, np.int64)).shape[0] == 0


def test_attributes_of_items_that_came_later_have_the_same_codes(tagged: Catalogue) -> None:
    told = {"y": ("b=2",), "new": ("a=1", "c=3"), "newer": ("c=3",)}
    live = LiveCatalogue(tagged, 0).with_updates(
        {name: {"attributes": Stamped(texts, 1, 1)} for name, texts in told.items()}
    )
    y, new, newer, x, unknown = live.kinds_of(np.array([2, 4, 5, 1, 0]))
    assert y.tolist() == [x[1], 0]
    assert new[0] == x[0]
    assert new[1] == newer[0] > len(tagged.values("attributes")) - 1
    assert newer[1] == 0
    assert not unknown.any()
    assert live.kinds_of(np.array([1, 2])).tolist() == [x.tolist(), y.tolist()]


def test_the_vocabulary_hash_depends_on_ids_and_order(folder: Path) -> None:
    assert Catalogue.load(folder).vocabulary_hash == vocabulary_hash(IDS)
    assert vocabulary_hash(["a", "b"]) != vocabulary_hash(["b", "a"])
    assert vocabulary_hash(["ab", ""]) != vocabulary_hash(["a", "b"])


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 item ids are repeated"):
        write_catalogue(tmp_path, ["a", "b", "a"], {})
    with pytest.raises(DataError, match="column has 1 rows, the vocabulary 2"):
        write_catalogue(tmp_path, ["a", "b"], {"name": ["A"]})


def test_an_index_outside_the_vocabulary_is_refused(folder: Path) -> None:
    for index in (0, 8, -1):
        with pytest.raises(VocabularyError):
            Catalogue.load(folder).item_id(index)


@pytest.mark.parametrize("name", ["columns.json", "category.codes.npy", "item_id.bytes.npy"])
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(BundleTamperedError, match=name):
        Catalogue.load(folder)


def test_a_missing_catalogue_is_told_from_a_damaged_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleMissingError):
        Catalogue.load(tmp_path / "nowhere")
    (folder / "price_cents.npy").unlink()
    with pytest.raises(BundleTamperedError, match="lacks price_cents"):
        Catalogue.load(folder)


def test_an_empty_catalogue_finds_nothing(tmp_path: Path) -> None:
    write_catalogue(tmp_path, [], {"name": [], "price_cents": np.zeros(0, np.int64)})
    assert Catalogue.load(tmp_path).find(["a"]).tolist() == [0]


def test_lists_that_are_all_empty_stay_lists(tmp_path: Path) -> None:
    write_catalogue(tmp_path, ["a", "b"], {"attributes": [[], []]})
    assert Catalogue.load(tmp_path).texts("attributes", 2) == []
