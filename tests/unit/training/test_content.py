"""Vectors of the items' words: rare terms weigh most, and nothing depends on an order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fusionrec.item_terms import words_and_pairs
from training.content import content_hash, rare_terms, unit_rows

DOCUMENTS = [set(), {"a", "b"}, {"a", "b", "c"}, {"c", "d"}, {"d", "b"}]


def test_words_are_lower_case_and_pairs_are_neighbours() -> None:
    assert words_and_pairs("Red WINE, dry") == {"red", "wine", "dry", "red wine", "wine dry"}
    assert words_and_pairs("") == set()


def test_weights_follow_the_formula() -> None:
    """Of five documents a stands in two and b in three: log(5/2) and log(5/3), then length 1."""
    row = rare_terms(DOCUMENTS, max_share=1.0)[1].toarray()[0]
    expected = np.array([np.log(5 / 2), np.log(5 / 3), 0.0, 0.0])
    assert_allclose(row, expected / np.linalg.norm(expected), rtol=1e-5)


def test_terms_of_one_document_or_of_most_are_left_out() -> None:
    assert rare_terms([{"only"}, {"all"}, {"all"}, {"all"}], max_share=0.5).shape == (4, 0)
    assert rare_terms([{"two"}, {"two"}, {"x"}, {"y"}], max_share=0.5).shape == (4, 1)


def test_rows_have_length_one_or_nothing() -> None:
    rows = unit_rows(rare_terms(DOCUMENTS, max_share=1.0))
    assert_allclose(np.square(rows.toarray()).sum(axis=1), [0, 1, 1, 1, 1], rtol=1e-5)


@pytest.mark.parametrize("order", [[4, 3, 2, 1], [2, 1, 4, 3]])
def test_the_order_of_the_items_changes_nothing_but_the_order_of_the_rows(order: list[int]) -> None:
    rows = rare_terms(DOCUMENTS, max_share=1.0)
    moved = rare_terms([DOCUMENTS[0], *(DOCUMENTS[place] for place in order)], max_share=1.0)
    assert_allclose(moved[1:].toarray(), rows[order].toarray())


def test_the_fingerprint_sees_a_changed_word() -> None:
    changed = [*DOCUMENTS[:-1], {"d", "a"}]
    plain = content_hash(rare_terms(DOCUMENTS, max_share=1.0))
    assert plain == content_hash(rare_terms([set(document) for document in DOCUMENTS], max_share=1.0))
    assert plain != content_hash(rare_terms(changed, max_share=1.0))
    assert content_hash(None) == "none"
