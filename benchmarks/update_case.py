"""Data to update models on: a prepared data set or a random shop; and how results are measured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionrec.feature_spec import DAY_MS
from fusionrec.settings import Settings
from training import metrics
from training.data.dataset import Dataset
from training.evaluate import Seen
from training.interactions import Interactions, Requests, read_interactions
from training.models.protocol import Part
from training.protocols import Split, temporal
from training.recipe import repeats_matter
from training.search.objective import Judge


@dataclass(frozen=True, slots=True)
class Case:
    """A data set cut where its own cut-offs are."""

    name: str
    data: Interactions
    cut: Split
    end_ms: int
    facts: Mapping[str, Any]

    @property
    def seen(self) -> Seen:
        return "keep" if repeats_matter(self.cut.fit) else "mask"


class Clock:
    """Seconds and CPU seconds of what runs inside."""

    def __enter__(self) -> Clock:
        self.seconds, self.cpu_s = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu_s = time.perf_counter() - self.seconds, time.process_time() - self.cpu_s


def ndcg(data: Interactions, requests: Requests, part: Part, seen: Seen) -> metrics.FloatArray:
    return Judge(data, requests, requests, seen, 0).on_choosing(part)


def prepared_case(name: str) -> Case:
    dataset = Dataset.open(Settings.from_env().home / name)
    data, _, _ = read_interactions(dataset)
    ends = [round(moment.timestamp() * 1000) for moment in dataset.cutoffs.all()]
    about = {"dataset": name, "data_hash": dataset.data_hash}
    return Case(name, data, temporal(data, *ends), ends[2], about)


def random_case(n_users: int = 150, n_items: int = 90, days: int = 120) -> Case:
    """Each user walks through its half of the items."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(10, 30, n_users)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    total, start = int(offsets[-1]), 20_000 * DAY_MS
    halves = np.repeat(np.arange(n_users) % 2, lengths)
    walk = np.cumsum(rng.integers(1, 3, total)) % (n_items // 2)
    at = np.concatenate([np.sort(rng.integers(0, days * DAY_MS, n)) for n in lengths]) + start
    data = Interactions(n_items, offsets, 1 + 2 * walk + halves, np.full(total, 4), at, np.zeros(total, np.int64))
    end = start + days * DAY_MS
    cut = temporal(data, end - 28 * DAY_MS, end - 14 * DAY_MS, end)
    return Case("random", data, cut, end, {"dataset": "random", "data_hash": ""})
