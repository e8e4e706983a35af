from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fusionrec.errors import BundleMismatchError, BundleMissingError, BundleTamperedError
from fusionrec.text.scoring import CARD, GRAPH, PACKAGED, TextScorer


@pytest.fixture(scope="module")
def scorer() -> TextScorer:
    return TextScorer.open()


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("I love it, the best purchase of the year!", "positive"),
        ("Terrible. It broke after two days and nobody answers.", "negative"),
        ("This is not good at all.", "negative"),
    ],
)
def test_clear_texts_are_scored_as_people_would(scorer: TextScorer, text: str, sentiment: str) -> None:
    (score,) = scorer.score([text])
    assert score.sentiment == sentiment
    assert sum(score.probabilities) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        ("the shipping took three weeks, it arrived late", {"delivery"}),
        ("far too expensive for what it is", {"price"}),
        ("runs small, does not fit", {"size/fit"}),
        ("the support was rude, the packaging torn", {"service", "packaging"}),
        ("it is blue", {"other"}),
    ],
)
def test_topics_are_found_by_their_words(scorer: TextScorer, text: str, topics: set[str]) -> None:
    assert set(scorer.score([text])[0].topics) == topics


def test_a_score_does_not_depend_on_its_neighbours(scorer: TextScorer) -> None:
    texts = ["good", "bad and broken", "", "word " * 500, *(f"text number {n}" for n in range(40))]
    together = scorer.score(texts)
    for text, score in zip(texts, together, strict=True):
        assert scorer.score([text])[0].probabilities == pytest.approx(score.probabilities, abs=1e-5)
    assert scorer.score([]) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PACKAGED, tmp_path / "model"))


def test_a_changed_graph_is_refused(copy: Path) -> None:
    content = bytearray((copy / GRAPH).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / GRAPH).write_bytes(content)
    with pytest.raises(BundleTamperedError, match="differs from its sha256"):
        TextScorer.open(copy)


def test_another_version_is_refused(copy: Path) -> None:
    (copy / CARD).write_text(json.dumps({**json.loads((copy / CARD).read_text()), "version": 99}))
    with pytest.raises(BundleMismatchError, match="version 99"):
        TextScorer.open(copy)


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleMissingError, match="fusionrec text train"):
        TextScorer.open(tmp_path)


def test_the_shipped_model_is_small() -> None:
    assert (PACKAGED / GRAPH).stat().st_size < 1024**2
