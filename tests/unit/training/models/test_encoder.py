"""The encoder part on vectors that are known, and the cache of vectors; the real encoder where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from fusionrec.errors import BadInputError
from fusionrec.feature_spec import EVENT_CODES
from fusionrec.transforms import ModelInput
from tests.suites.models import TasteSuite
from training.data.dataset import made_up_name
from training.interactions import Vocabulary
from training.models.encoder import Encoder, without_mean
from training.models.protocol import Part, silent
from training.sentences import DIM, PACKAGE, item_texts, minilm, sentence_vectors
from training.shop import NOW_MS, Shop, two_taste_shop


def unit_rows(rows: np.ndarray) -> np.ndarray:
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)


class TestEncoder(TasteSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def shop(cls) -> Shop:
        """Vectors with a large part that all share, a taste, and a little of their own."""
        shop, rng = two_taste_shop(), np.random.default_rng(0)
        taste = np.where(np.arange(11) <= 5, 1.0, -1.0)[:, None] * np.array([0, 1, 0, 0, 0, 0])
        vectors = unit_rows(np.array([3.0, 0, 0, 0, 0, 0]) + taste + 0.2 * rng.standard_normal((11, 6)))
        vectors[0] = 0.0
        return shop._replace(interactions=replace(shop.interactions, vectors=vectors))

    @classmethod
    def make(cls, n_items: int) -> Part:
        return Encoder(n_items)

    def test_weights_are_cosines_without_what_all_share(self, model: Encoder, shop: Shop) -> None:
        vectors = shop.interactions.vectors[1:].astype(float)
        centred = vectors - vectors.mean(axis=0)
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        expected = np.maximum(centred @ centred.T, 0.0)
        np.fill_diagonal(expected, 0.0)
        event = np.array([[EVENT_CODES["purchase"]]])
        for item in range(1, 11):
            scores = model.score(ModelInput(np.array([[item]]), event, np.zeros((1, 1), np.float32)))
            assert_allclose(scores[0, 1:], expected[item - 1], rtol=1e-4, atol=1e-6)

    def test_without_vectors_it_says_nothing(self) -> None:
        model = Encoder(10).fit(two_taste_shop().interactions, NOW_MS)
        event = np.array([[EVENT_CODES["purchase"]]])
        assert not model.score(ModelInput(np.array([[3]]), event, np.zeros((1, 1), np.float32))).any()

    def test_an_item_without_text_stays_without_vector(self) -> None:
        vectors = np.array([[0, 0], [1, 0], [0, 1], [0, 0]], np.float32)
        assert_allclose(without_mean(vectors), [[0, 0], [0.5**0.5, -(0.5**0.5)], [-(0.5**0.5), 0.5**0.5], [0, 0]])


class Counted:
    """Encodes a text by its length, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        rows = np.zeros((len(texts), DIM), np.float32)
        rows[np.arange(len(texts)), [len(text) for text in texts]] = 1.0
        return rows


class TestVectors:
    def test_they_are_kept_under_their_texts(self, tmp_path: Path) -> None:
        encode, texts = Counted(), ["", "red wine", "rye", ""]
        first = sentence_vectors(texts, tmp_path, silent, lambda: encode)
        assert first[1, 8] == first[2, 3] == 1.0
        assert not first[[0, 3]].any()
        again = sentence_vectors(texts, tmp_path, silent, lambda: encode)
        assert_allclose(again, first)
        assert sorted(encode.asked) == ["red wine", "rye"]
        sentence_vectors(["", "red", "winerye", ""], tmp_path, silent, lambda: encode)
        assert len(encode.asked) == 4

    def test_an_interrupted_encoding_keeps_nothing(self, tmp_path: Path) -> None:
        def stops(texts: Sequence[str]) -> np.ndarray:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sentence_vectors(["rye"], tmp_path, silent, lambda: stops)
        assert not list(tmp_path.iterdir())

    def test_a_missing_extra_is_named_with_its_remedy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, PACKAGE, None)  # what an import of a missing package looks like
        with pytest.raises(BadInputError, match=r"pip install .*\[encoder\]"):
            minilm()

    def test_texts_follow_the_vocabulary(self) -> None:
        rows = [
            {
                "item_id": "a",
                "name": "Rye",
                "description": "Rye",
                "category": "bread",
                "department": "",
                "brand": "",
                "attributes": ["dark"],
            },
            {
                "item_id": "b",
                "name": made_up_name("b"),
                "description": "",
                "category": "",
                "department": "",
                "brand": "",
                "attributes": [],
            },
        ]

        class Items:
            items = pa.Table.from_pylist(rows)

        assert item_texts(Items(), Vocabulary(("b", "a"))) == ["", "", "Rye. bread, dark"]

    def test_the_real_encoder_knows_synonyms(self) -> None:
        pytest.importorskip(PACKAGE, reason="the extra `encoder` is not installed")
        vectors = minilm()(["nail lacquer", "finger polish", "bread with rye"])
        assert vectors.shape == (3, DIM)
        assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-4)
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
