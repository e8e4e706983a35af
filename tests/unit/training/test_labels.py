"""Labels of served slates, laid beside the interactions that they speak of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.interactions import Interactions, Vocabulary
from training.labels import labels_hash, read_feedback

VOCABULARY = Vocabulary(("tea", "rye", "fig"))
USERS = ("ann", "bob")
DAY = 86_400_000


def data() -> Interactions:
    """ann: tea, rye, tea on days 1, 3, 5; bob: fig on day 2."""
    return Interactions(
        3, np.array([0, 3, 4]), np.array([1, 2, 1, 3]), np.full(4, 4), DAY * np.array([1, 3, 5, 2]), np.zeros(4, int)
    )


@dataclass
class Labels:
    folder: Path

    def write(self, *rows: tuple[str, str, float, float | None, float]) -> Any:
        """Rows of user, item, day shown, day acted (None: not touched), label; exposure 0.5."""

        def moment(day: float | None) -> datetime | None:
            return None if day is None else datetime.fromtimestamp(day * 86_400, UTC).replace(tzinfo=None)

        names = ("user_id", "item_id", "shown_at", "acted_at", "label", "exposure", "weight")
        table = [
            (user, item, moment(shown), moment(acted), label, 0.5, 2.0 if label > 0 else 1.0)
            for user, item, shown, acted, label in rows
        ]
        columns = {name: list(values) for name, values in zip(names, zip(*table, strict=True), strict=True)}
        columns["acted_at"] = pa.array(columns["acted_at"], pa.timestamp("us"))
        (self.folder / "feedback").mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), self.folder / "feedback" / "labels.parquet")
        return read_feedback(SimpleNamespace(folder=self.folder), data(), VOCABULARY, USERS)


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    return Labels(tmp_path)


def test_without_a_file_there_is_nothing(labels: Labels) -> None:
    dataset: Any = SimpleNamespace(folder=labels.folder)
    assert read_feedback(dataset, data(), VOCABULARY, USERS) is None
    assert labels_hash(dataset) == ""


def test_an_act_gives_its_interaction_label_times_weight(labels: Labels) -> None:
    found = labels.write(("ann", "rye", 2.9, 3, 0.6), ("ann", "tea", 4.0, 5, -1.0))
    assert found.worth.tolist()[1:3] == pytest.approx([1.2, 0.0])
    assert all(math.isnan(found.worth[place]) for place in (0, 3))
    assert not len(found.refused)


def test_what_was_not_touched_goes_with_the_next_act(labels: Labels) -> None:
    found = labels.write(("ann", "fig", 4.5, None, 0), ("ann", "rye", 0.5, None, 0), ("bob", "tea", 2.0, None, 0))
    assert list(zip(found.refused, found.items, found.weights, strict=True)) == [(0, 2, 0.5), (2, 3, 0.5), (3, 1, 0.5)]


def test_what_the_data_do_not_hold_is_left_out(labels: Labels) -> None:
    strangers = [
        ("eve", "tea", 1.0, None, 0.0), ("ann", "oat", 1.0, None, 0.0), ("ann", "tea", 6.0, None, 0.0),
        ("ann", "tea", 3.0, 3.0, 1.0), ("bob", "fig", 2.0, 2.5, 1.0),
    ]  # fmt: skip
    assert labels.write(*strangers) is None
    one = labels.write(*strangers, ("bob", "fig", 1.9, 2.0, 1.0))
    assert one.worth[3] == pytest.approx(2.0)
    assert labels_hash(SimpleNamespace(folder=labels.folder)) != ""
