"""The text model: one ONNX graph that gives a text's sentiment and topics.

It lies beside this file, so that a function needs no download; `fusionrec text train` makes it anew. English only: it
knows the words of the texts that it was trained on. A shop in another language trains its own and names its folder in
FUSIONREC_TEXT_MODEL.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from fusionrec.errors import BundleError, BundleMismatchError, BundleMissingError, BundleTamperedError
from fusionrec.text.features import batch

Sentiment = Literal["negative", "neutral", "positive"]

SENTIMENTS: Final[tuple[Sentiment, ...]] = ("negative", "neutral", "positive")
NAMED_TOPICS: Final = ("delivery", "quality", "price", "size/fit", "service", "packaging")
OTHER: Final = "other"
TOPICS: Final = (*NAMED_TOPICS, OTHER)
PACKAGED: Final = Path(__file__).parent / "model"
GRAPH: Final = "sentiment.onnx"
CARD: Final = "model.json"
VERSION: Final = 1  # of the features and the graph's inputs and outputs
AT_ONCE: Final = 16  # texts of one run: bounds the memory that long ones take


@dataclass(frozen=True, slots=True)
class TextScore:
    """probabilities: of SENTIMENTS, in their order; topics: the one with most hits first, or `other` alone."""

    sentiment: Sentiment
    probabilities: tuple[float, float, float]
    topics: tuple[str, ...]


class TextScorer:
    """Runs the graph; safe to share between threads."""

    def __init__(self, session: Any, version: str) -> None:
        self._session, self.version = session, version

    @classmethod
    def open(cls, folder: Path = PACKAGED) -> TextScorer:
        """Raises BundleMissingError, BundleTamperedError or BundleMismatchError."""
        import onnxruntime as ort  # noqa: PLC0415 - 0.3 s, which only a process that scores texts pays

        try:
            card, graph = json.loads((folder / CARD).read_text()), (folder / GRAPH).read_bytes()
        except (OSError, ValueError) as error:
            raise BundleMissingError(f"no text model in {folder} ({error}); run `fusionrec text train`") from None
        if card.get("version") != VERSION:
            raise BundleMismatchError(f"{folder} holds version {card.get('version')}, this code needs {VERSION}")
        if hashlib.sha256(graph).hexdigest() != card["sha256"]:
            raise BundleTamperedError(f"{folder / GRAPH} differs from its sha256 in {CARD}; train it again")
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen unrelated types for a graph it cannot load
            raise BundleError(f"{folder / GRAPH} cannot be loaded ({type(error).__name__}); train it again") from error
        return cls(session, card["sha256"][:12])

    def score(self, texts: Sequence[str]) -> list[TextScore]:
        """One score a text, in their order."""
        found: list[TextScore] = []
        for start in range(0, len(texts), AT_ONCE):
            feed = {"features": batch(texts[start : start + AT_ONCE])}
            probabilities, hits = self._session.run(["sentiment", "topics"], feed)
            found += [_score(*row) for row in zip(probabilities.tolist(), hits.tolist(), strict=True)]
        return found


def _score(probabilities: list[float], hits: list[float]) -> TextScore:
    negative, neutral, positive = probabilities
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    ordered = sorted((-n_hits, place) for place, n_hits in enumerate(hits) if n_hits > 0)
    topics = tuple(NAMED_TOPICS[place] for _, place in ordered) or (OTHER,)
    return TextScore(SENTIMENTS[best], (negative, neutral, positive), topics)
