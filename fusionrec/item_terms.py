"""What the catalogue says of an item, as terms: the same functions in training and in serving, so that no skew arises.

Two kinds: texts (words and pairs of neighbouring words of name and description) and attributes (category, department,
brand, attributes). How terms become vectors: `training/content.py`, `fusionrec/bundle/content.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_WORD: Final = re.compile(r"\w+")


def text_terms(name: str, description: str) -> set[str]:
    """Of what shoppers read."""
    return words_and_pairs(name) | words_and_pairs(description)


def attribute_terms(category: str, department: str, brand: str, attributes: Sequence[str]) -> set[str]:
    """Of where the shop puts it; an empty text says nothing."""
    named = {"category": category, "department": department, "brand": brand}
    return {*(f"{name}={text}" for name, text in named.items() if text), *attributes}


def words_and_pairs(text: str) -> set[str]:
    """Words in lower case, and each with the next.

    >>> sorted(words_and_pairs("Red wine, dry"))
    ['dry', 'red', 'red wine', 'wine', 'wine dry']
    """
    words = _WORD.findall(text.lower())
    return {*words, *(f"{first} {second}" for first, second in pairwise(words))}
