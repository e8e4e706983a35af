"""The catalogue table of a bundle: columns as `.npy` files that are memory-mapped, so that loading costs no parsing.

Row 0 is padding; items are rows `1..n_items`. Numbers are one array a column. Text is dictionary-encoded: the distinct
values as UTF-8 bytes with offsets, and an int32 code a row. An item id is found through its sorted 64-bit hashes, so
no table of 100,000 Python strings is built when a function starts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from fusionrec.errors import BundleMissingError, BundleTamperedError, DataError, VocabularyError

Texts = Sequence[str]
Column = Texts | Sequence[Sequence[str]] | npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

MOST_KINDS: Final = 32  # of an item's attributes, that tell what it is
_INDEX: Final = "columns.json"
_ID: Final = "item_id"


class Strings:
    """An immutable list of texts in two arrays: UTF-8 bytes, and where each text starts."""

    def __init__(self, blob: npt.NDArray[np.uint8], offsets: IntArray) -> None:
        self._bytes = blob.data
        self._offsets = offsets

    @classmethod
    def encode(cls, texts: Iterable[str]) -> Strings:
        encoded = [text.encode() for text in texts]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> str:
        return str(self._bytes[self._offsets[index] : self._offsets[index + 1]], "utf-8")

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}.bytes.npy", np.frombuffer(self._bytes, np.uint8))
        np.save(folder / f"{name}.offsets.npy", self._offsets)

    @classmethod
    def load(cls, folder: Path, name: str) -> Strings:
        return cls(map_array(folder / f"{name}.bytes.npy"), map_array(folder / f"{name}.offsets.npy"))

    def digest(self) -> str:
        return hashlib.sha256(self._offsets.tobytes() + self._bytes).hexdigest()[:16]


def vocabulary_hash(item_ids: Texts) -> str:
    """Fingerprint of the vocabulary: the ids in their order, without the padding row."""
    return Strings.encode(["", *item_ids]).digest()


def write_catalogue(folder: Path, item_ids: Texts, columns: Mapping[str, Column]) -> None:
    """Write the table; the folder is created, row 0 is added.

    item_ids: n_items distinct ids in vocabulary order
    columns:  name → n_items texts, n_items lists of texts, or an array (n_items, …)
    raises:   DataError for a repeated id or a column of another length
    """
    repeated = len(item_ids) - len(set(item_ids))
    if repeated:
        raise DataError(f"{repeated} item ids are repeated; the vocabulary needs distinct ids", pointer=_ID)
    folder.mkdir(parents=True, exist_ok=True)
    Strings.encode(["", *item_ids]).save(folder, _ID)
    hashes = np.array([0, *(_hash(item_id) for item_id in item_ids)], np.uint64)
    order = np.argsort(hashes[1:], kind="stable").astype(np.int32) + 1
    np.save(folder / f"{_ID}.sorted.npy", hashes[order])
    np.save(folder / f"{_ID}.order.npy", order)
    kinds = {name: _write_column(folder, name, column, len(item_ids)) for name, column in columns.items()}
    (folder / _INDEX).write_text(json.dumps({"n_items": len(item_ids), "columns": kinds}, indent=1) + "\n")


class Catalogue:
    """Reads the table that `write_catalogue` wrote; safe for concurrent readers."""

    def __init__(
        self, n_items: int, ids: Strings, hashes: npt.NDArray[np.uint64], order: npt.NDArray[np.int32]
    ) -> None:
        self.n_items = n_items
        self._ids, self._hashes, self._order = ids, hashes, order
        self._numbers: dict[str, npt.NDArray[Any]] = {}
        self._values: dict[str, Strings] = {}
        self._codes: dict[str, npt.NDArray[np.int32]] = {}
        self._rows: dict[str, IntArray] = {}  # where a row's list starts within its codes

    @classmethod
    def load(cls, folder: Path) -> Catalogue:
        """Map every column. Raises BundleMissingError, BundleTamperedError."""
        try:
            index = json.loads((folder / _INDEX).read_bytes())
            n_items, kinds = int(index["n_items"]), dict(index["columns"])
        except FileNotFoundError:
            raise BundleMissingError(f"no catalogue in {folder}; export the bundle again") from None
        except (ValueError, KeyError, TypeError) as error:
            raise BundleTamperedError(f"{folder / _INDEX} is damaged ({error}); fetch the bundle again") from None
        order = map_array(folder / f"{_ID}.order.npy")
        table = cls(n_items, Strings.load(folder, _ID), map_array(folder / f"{_ID}.sorted.npy"), order)
        for name, kind in kinds.items():
            table._load_column(folder, name, kind)
        return table

    def _load_column(self, folder: Path, name: str, kind: str) -> None:
        if kind == "numbers":
            self._numbers[name] = map_array(folder / f"{name}.npy")
            return
        self._values[name] = Strings.load(folder, name)
        self._codes[name] = map_array(folder / f"{name}.codes.npy")
        if kind == "text_lists":
            self._rows[name] = map_array(folder / f"{name}.rows.npy")

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self._numbers, *self._values)

    @property
    def n_rows(self) -> int:
        """Padding, the bundle's items, and items that came later."""
        return self.n_items + 1

    @property
    def unavailable(self) -> IntArray:
        """Vocabulary indices int64, rising, of what is not for sale now."""
        return np.zeros(0, np.int64)

    def is_available(self, index: int) -> bool:
        return True

    @property
    def vocabulary_hash(self) -> str:
        return self._ids.digest()

    def item_id(self, index: int) -> str:
        """Raises VocabularyError outside 1..n_items."""
        if not 1 <= index <= self.n_items:
            raise VocabularyError(f"item index {index} lies outside 1..{self.n_items}")
        return self._ids[index]

    def find(self, item_ids: Texts) -> IntArray:
        """Vocabulary indices int64 (n,); 0 for an id that is not in the catalogue."""
        found = np.zeros(len(item_ids), np.int64)
        if not self.n_items:
            return found
        hashes = np.fromiter((_hash(item_id) for item_id in item_ids), np.uint64, len(item_ids))
        for n, place in enumerate(np.searchsorted(self._hashes, hashes).tolist()):
            found[n] = self._match(place, hashes[n], item_ids[n])
        return found

    def _match(self, place: int, hashed: np.uint64, item_id: str) -> int:
        while place < self.n_items and self._hashes[place] == hashed:  # more than once only if hashes collide
            index = int(self._order[place])
            if self._ids[index] == item_id:
                return index
            place += 1
        return 0

    def index(self, item_id: str) -> int:
        """Vocabulary index of one id, 0 when unknown."""
        return int(self.find([item_id])[0])

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """The column, (n_items + 1, …)."""
        return self._numbers[name]

    def number(self, name: str, index: int) -> float:
        """One cell of a column of numbers."""
        return float(self._numbers[name][index])

    def text(self, name: str, index: int) -> str:
        return self._values[name][int(self._codes[name][index])]

    def texts(self, name: str, index: int) -> list[str]:
        """The list of texts of one row."""
        start, stop = self._rows[name][index : index + 2].tolist()
        return [self._values[name][code] for code in self._codes[name][start:stop].tolist()]

    def codes(self, name: str) -> npt.NDArray[np.int32]:
        """Dictionary codes int32 (n_items + 1,) of a text column: equal codes, equal texts."""
        return self._codes[name]

    def codes_of(self, name: str, indices: IntArray) -> npt.NDArray[np.int32]:
        """Dictionary codes int32 (n,) of some rows."""
        codes: npt.NDArray[np.int32] = self._codes[name][indices]
        return codes

    def list_codes_of(self, name: str, indices: IntArray) -> npt.NDArray[np.int32]:
        """Codes int32 (n, M) of some rows of a column of lists, the first MOST_KINDS of each; 0 where a list ends."""
        starts, stops, codes = self._rows[name][indices], self._rows[name][indices + 1], self._codes[name]
        lengths = np.minimum(stops - starts, MOST_KINDS)
        at = np.arange(int(lengths.max(initial=0)))
        real = at < lengths[:, None]
        found = np.zeros(real.shape, np.int32)
        found[real] = codes[(starts[:, None] + at)[real]]
        return found

    def kinds_of(self, indices: IntArray) -> npt.NDArray[np.int32]:
        """What some items are, codes int32 (n, M): the category where the catalogue has any, else the attributes."""
        if len(self.values("category")) > 1:  # more than the empty text
            return self.codes_of("category", indices)[:, None]
        return self.list_codes_of("attributes", indices)

    def values(self, name: str) -> Strings:
        """The distinct texts of a column, in the order of its codes; code 0 is the empty text."""
        return self._values[name]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _write_column(folder: Path, name: str, column: Column, n_items: int) -> str:
    if len(column) != n_items:
        raise DataError(f"column has {len(column)} rows, the vocabulary {n_items}", pointer=name)
    if isinstance(column, np.ndarray) and column.dtype.kind not in "OUST":
        np.save(
            folder / f"{name}.npy", np.concatenate([np.zeros_like(column[:1], shape=(1, *column.shape[1:])), column])
        )
        return "numbers"
    if n_items and not isinstance(column[0], str):
        lists = [list(row) for row in cast(Sequence[Sequence[str]], column)]
        _write_texts(folder, name, [text for row in lists for text in row])
        rows = np.zeros(n_items + 2, np.int64)
        np.cumsum([len(row) for row in lists], out=rows[2:])
        np.save(folder / f"{name}.rows.npy", rows)
        return "text_lists"
    _write_texts(folder, name, ["", *cast(Texts, column)])
    return "texts"


def _write_texts(folder: Path, name: str, texts: Sequence[str]) -> None:
    codes = {"": 0}
    row_codes = np.fromiter((codes.setdefault(text, len(codes)) for text in texts), np.int32, len(texts))
    Strings.encode(codes).save(folder, name)
    np.save(folder / f"{name}.codes.npy", row_codes)


def map_array(path: Path) -> npt.NDArray[Any]:
    """A `.npy` file, memory-mapped. Raises BundleTamperedError."""
    try:
        # A plain array over the mapping: indexing np.memmap itself is several times slower.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError:
        raise BundleTamperedError(f"the bundle lacks {path.name}; fetch it again") from None
    except ValueError as error:
        if path.stat().st_size and "mmap" in str(error):  # an empty array cannot be mapped
            return cast(npt.NDArray[Any], np.load(path, allow_pickle=False))
        raise BundleTamperedError(f"{path.name} is damaged ({error}); fetch the bundle again") from None
