from __future__ import annotations

import numpy as np
import pytest

from fusionrec.text.features import MAX_CHARS, batch, feature_names, features, term_hashes


def words(text: str) -> list[str]:
    return [name for name in feature_names(text) if " " not in name and "#" not in name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not a good phone", ["not", "~a", "~good", "~phone"]),
        ("it doesn’t work", ["it", "doesn't", "~work"]),
        ("not bad, good", ["not", "~bad", "good"]),
        ("never again but lovely", ["never", "~again", "~but", "lovely"]),
        ("no one two three four five", ["no", "~one", "~two", "~three", "~four", "five"]),
        ("12 times!!!", ["0", "times", "!!!"]),
    ],
)
def test_words_in_reach_of_a_negation_are_other_features(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_spelling_of_the_same_text_does_not_matter() -> None:
    assert features("GOOD  Phone\n") == features("good phone")
    assert features("\uff27ood phone") == features("Good phone")  # a full-width letter


@pytest.mark.parametrize("text", ["", "   ", "\ud800", "\x00", "🙂", "好吃", "a" * 100_000, "!" * 5000])
def test_any_text_has_features_in_range(text: str) -> None:
    found = features(text)
    assert found == sorted(set(found))
    assert all(1 <= feature < 2**32 for feature in found)


def test_what_lies_beyond_the_limit_is_not_read() -> None:
    text = "word " * (MAX_CHARS // 5)
    assert features(text + "terrible") == features(text)


def test_a_batch_is_padded_with_zeros() -> None:
    array = batch(["good", "", "good phone"])
    assert array.dtype == np.int64
    assert array[0][array[0] > 0].tolist() == features("good")
    assert not array[1].any()
    assert batch([""]).shape == (1, 1)


def test_a_term_is_found_whether_negated_or_not() -> None:
    for text in ("the delivery", "no delivery"):
        assert set(term_hashes("delivery")) & set(features(text))
    assert set(term_hashes("too small")) <= set(features("this is too small"))
    assert not set(term_hashes("too small")) & set(features("too very small"))
