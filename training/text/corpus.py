"""Labelled texts: sentences of product and film reviews, tweets and editorials, each rated by at least twenty people.

The ground truth of VADER (Hutto & Gilbert, ICWSM 2014), which the source distribution of `vaderSentiment` carries under
the MIT licence. The product reviews were first used by Hu & Liu (KDD 2004). Ratings go from -4 to 4.

Held out are two fifths of the product reviews, whole reviews each, chosen by a hash: sentences of one review share
words, and so must not stand on both sides. Nothing is chosen or fitted on them.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fusionrec.errors import DataError
from training.data.sources.wheels import Wheel, fetch

SOURCE: Final = Wheel(
    "vaderSentiment",
    "3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
LICENCE: Final = "MIT"
PRODUCTS: Final = "amazonReviewSnippets"
OTHERS: Final = ("movieReviewSnippets", "tweets", "nytEditorialSnippets")
CLEAR: Final = 0.5  # a mean rating at least as far from 0 as this is a clear sentiment
HELD_OUT_FIFTHS: Final = 2


@dataclass(frozen=True, slots=True)
class Rated:
    """One text. shares: of its raters, how many found it negative, neutral, positive."""

    text_id: str
    source: str
    text: str
    mean: float
    shares: tuple[float, float, float]

    @property
    def review(self) -> str:
        """The review that the sentence is of; a text by itself elsewhere."""
        return self.text_id.rpartition("_")[0] or self.text_id

    @property
    def label(self) -> int:
        """0 negative, 1 neutral, 2 positive."""
        return label_of(self.mean)

    @property
    def held_out(self) -> bool:
        return self.source == PRODUCTS and zlib.crc32(self.review.encode()) % 5 < HELD_OUT_FIFTHS


@dataclass(frozen=True, slots=True)
class Corpus:
    train: tuple[Rated, ...]
    held_out: tuple[Rated, ...]
    lexicon: tuple[tuple[str, float], ...]  # words and signs with their mean rating


def label_of(mean: float) -> int:
    return 0 if mean <= -CLEAR else 2 if mean >= CLEAR else 1


def labels(texts: tuple[Rated, ...]) -> npt.NDArray[np.int64]:
    return np.array([text.label for text in texts], np.int64)


def load(downloads: Path) -> Corpus:
    """Fetched by pip when absent, and checked by sha256. Raises DataError."""
    path = fetch(SOURCE, downloads)
    try:
        with tarfile.open(path) as outer:
            root = f"{SOURCE.package}-{SOURCE.version}"
            inner_bytes = _member(outer, f"{root}/additional_resources/hutto_ICWSM_2014.tar.gz")
            lexicon = _lexicon(_member(outer, f"{root}/vaderSentiment/vader_lexicon.txt").decode())
        with tarfile.open(fileobj=io.BytesIO(inner_bytes)) as inner:
            texts = [text for source in (PRODUCTS, *OTHERS) for text in _rated(inner, source)]
    except (tarfile.TarError, KeyError, ValueError, IndexError) as error:
        raise DataError(f"cannot be unpacked ({error}); delete it and try again", pointer=str(path)) from None
    return Corpus(
        tuple(text for text in texts if not text.held_out), tuple(text for text in texts if text.held_out), lexicon
    )


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def _rows(archive: tarfile.TarFile, name: str) -> list[list[str]]:
    text = _member(archive, f"hutto_ICWSM_2014/{name}.txt").removeprefix(b"\xef\xbb\xbf").decode("cp1252", "replace")
    return [line.split("\t") for line in text.splitlines() if line.strip()]


def _rated(archive: tarfile.TarFile, source: str) -> list[Rated]:
    ratings = {row[0]: np.array(json.loads(row[3])) for row in _rows(archive, f"{source}_anonDataRatings")}
    found = []
    for text_id, mean, text in _rows(archive, f"{source}_GroundTruth"):
        given = ratings[text_id]
        shares = (float((given < 0).mean()), float((given == 0).mean()), float((given > 0).mean()))
        found.append(Rated(text_id, source, text, float(mean), shares))
    return found


def _lexicon(text: str) -> tuple[tuple[str, float], ...]:
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    return tuple((row[0], float(row[1])) for row in rows)
