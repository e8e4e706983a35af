"""Where the text model comes from: the one that is shipped, a folder, or a prefix of a bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from urllib.parse import urlsplit

from fusionrec.adapters.s3 import read_object
from fusionrec.text.scoring import CARD, GRAPH, TextScorer


class S3Client(Protocol):
    def get_object(self, **kwargs: Any) -> Mapping[str, Any]: ...


def open_text_model(uri: str, client: Callable[[], S3Client]) -> TextScorer:
    """uri: s3://bucket/prefix, a folder, or "" for the one that is shipped; client: made when S3 is asked.

    raises: StoreUnavailableError, and what `TextScorer.open` does: a graph that is not its card's is refused
    """
    if not uri.startswith("s3://"):
        return TextScorer.open(Path(uri)) if uri else TextScorer.open()
    asked = client()
    with TemporaryDirectory() as name:
        for file in (CARD, GRAPH):
            (Path(name) / file).write_bytes(_get(asked, uri, file))
        return TextScorer.open(Path(name))


def _get(client: S3Client, uri: str, name: str) -> bytes:
    parts = urlsplit(uri)
    key = f"{parts.path.strip('/')}/{name}".lstrip("/")
    return read_object(client, parts.netloc, key, "text_model", "the text model is uploaded there first")
