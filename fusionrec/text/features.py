"""A text as hashed n-grams: the one tokeniser that training and serving share.

Words and pairs of words, and pieces of 4 and 5 letters of longer words, so that misspelt and inflected words are not
lost. A word within the reach of a negation is another feature (`~good`), which a bag of words would else confuse.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

MAX_CHARS: Final = 4000  # the API takes 2,000; what is longer comes from files
PADDING: Final = 0
REACH: Final = 4  # words after a negation that it turns, unless punctuation or "but" comes first
PIECES: Final = (4, 5)
NEGATED: Final = "~"
BREAK: Final = "|"

_TOKEN: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+|[!?]+|[.,;:()]|[^\w\s.,]+")
_ENDS: Final = frozenset(".,;:()!?")
_NEGATIONS: Final = frozenset(
    {
        "not", "no", "never", "nor", "neither", "nothing", "none", "nobody", "without", "cannot", "hardly", "barely",
        "lack", "lacks", "lacking", "lacked", "dont", "doesnt", "didnt", "cant", "wont", "isnt", "wasnt", "arent",
        "werent", "couldnt", "wouldnt", "shouldnt", "havent", "hasnt", "hadnt",
    }
)  # fmt: skip


def features(text: str) -> list[int]:
    """Distinct hashes in 1..2³²−1, ascending; empty for a text without words or signs."""
    return sorted({_hash(name) for name in feature_names(text)})


def feature_names(text: str) -> Iterator[str]:
    """The features in words, some of them more than once.

    >>> [name for name in feature_names("Not good!") if "#" not in name]
    ['not', '~good', '!', 'not good', 'good !']
    """
    words, marked = _tokens(text)
    yield from marked
    for first, second in pairwise(words):
        yield f"{first} {second}"
    for word in marked:
        yield from _pieces(word)


def term_hashes(term: str) -> list[int]:
    """Hashes by which a word or a pair of words is found in a text, negated or not."""
    words = term.split()
    names = [term] if len(words) > 1 else [term, NEGATED + term]
    return [_hash(name) for name in names]


def batch(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """int64 (B, L): the hashes of each text, padded on the right with 0; L is at least 1."""
    rows = [features(text) for text in texts]
    array = np.full((len(rows), max([1, *map(len, rows)])), PADDING, np.int64)
    for place, row in enumerate(rows):
        array[place, : len(row)] = row
    return array


def _tokens(text: str) -> tuple[list[str], list[str]]:
    """Words and signs in order, plain, and the same with negated words marked; full stops only part pairs."""
    words, marked = [], []
    reach = 0
    plain = unicodedata.normalize("NFKC", text[:MAX_CHARS]).lower().replace("\u2019", "'").replace("`", "'")
    for token in _TOKEN.findall(plain):
        if not token[0].isalpha():
            sign = "0" if token[0].isdigit() else token
            reach = 0 if token[0] in _ENDS else reach
            words.append(BREAK if sign in (".", ",") else sign)
            if words[-1] != BREAK:
                marked.append(sign)
            continue
        words.append(token)
        marked.append(NEGATED + token if reach else token)
        if token in _NEGATIONS or token.endswith("n't"):
            reach = REACH
        elif token == "but":  # noqa: S105 - a word of a text
            reach = 0
        else:
            reach = max(reach - 1, 0)
    return words, marked


def _pieces(word: str) -> Iterator[str]:
    sign, plain = (NEGATED, word[1:]) if word[0] == NEGATED else ("", word)
    if len(plain) < PIECES[-1] or not plain[0].isalpha():
        return
    framed = f"<{plain}>"
    for length in PIECES:
        for start in range(len(framed) - length + 1):
            yield f"{sign}#{framed[start : start + length]}"


def _hash(name: str) -> int:
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) or 1
