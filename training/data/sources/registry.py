"""The sources by name."""

from __future__ import annotations

from typing import Final

from fusionrec.errors import DataError
from training.data.sources import amazon_sequences, completejourney, movielens, own_files
from training.data.sources.frame import Source

ALL: Final = (completejourney.SOURCE, movielens.SOURCE, amazon_sequences.SOURCE, own_files.SOURCE)
SOURCES: Final[dict[str, Source]] = {source.name: source for source in ALL}


def source_named(name: str) -> Source:
    """Raises DataError that lists the names."""
    try:
        return SOURCES[name]
    except KeyError:
        raise DataError(f"no source {name!r}; choose one of {', '.join(SOURCES)}", pointer="--source") from None
