"""Slates for many users at once, by the promoted bundle: the same rows, transforms, graph and items as in serving.

Users' histories are their `user_profile` rows at the newest cut-off, the rows that the online store holds. Work is
kept in parts beside the output and is continued; the output appears by rename when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fusionrec.adapters.item_objects import FolderObjects
from fusionrec.bundle.loader import Bundle
from fusionrec.contracts.recommendations import ScenarioName
from fusionrec.errors import BadInputError, DataError
from fusionrec.filters.eligibility import SCENARIOS, hidden_items, mask
from fusionrec.fresh import Fresh
from fusionrec.item_log import ItemLog
from fusionrec.live_items import Items, LiveItems
from fusionrec.ports import UserState
from fusionrec.scoring import Ranking, Scorer
from fusionrec.transforms import History, event_codes, merge_history, model_input
from training.data.dataset import Dataset
from training.data.updates import FOLDER

SCHEMA: Final = pa.schema(
    [("user_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float32())]
)
_HISTORY: Final = ("history_item_ids", "history_event_types", "history_sent_at")
_JOB: Final = b"fusionrec_job"  # in the Parquet file's metadata: what it was made of


@dataclass(frozen=True, slots=True)
class Options:
    n_results: int = 50
    scenario: ScenarioName = "home"
    batch_size: int = 64
    part_size: int = 2048  # users of a part: what an interruption may repeat


@dataclass(frozen=True, slots=True)
class Scored:
    """n_users that were asked for, of whom n_unknown have no history; n_fresh were scored by this run."""

    n_users: int
    n_unknown: int
    n_fresh: int


@dataclass(frozen=True, slots=True)
class Told:
    """A bundle's items as of the item log, and which log: its length and the sha256 of its last update."""

    items: Items
    log: str


def told_of(bundle: Bundle, folder: Path) -> Told | None:
    """What the item log of this data set says, as the API would serve it; None without one.

    raises: StoreUnavailableError when it cannot be read
    """
    log = ItemLog(FolderObjects(folder / FOLDER))
    log.catch_up(inf)
    if not log.through:
        return None
    return Told(LiveItems(log, 0.0).of(bundle), f"{log.through}:{log.digest(log.through)}")


class BatchScorer:
    """Ranks users by their histories, a batch at a time."""

    def __init__(self, bundle: Bundle, scorer: Scorer, now_ms: int, options: Options, told: Told | None = None) -> None:
        """told: what the shop said of items since the bundle was made; None: nothing

        raises: BadInputError when the graph ranks fewer items than are asked for
        """
        if options.n_results > bundle.manifest.top_k:
            raise BadInputError(f"the model ranks {bundle.manifest.top_k} items, not more", pointer="--n-results")
        self.bundle = told.items.bundle if told else bundle
        self.fresh = told.items.fresh if told else Fresh.none(bundle.n_items)
        self.log = told.log if told else ""
        self.scorer, self.now_ms, self.options = scorer, now_ms, options

    def slates(self, users: Sequence[str], histories: Sequence[History]) -> pa.Table:
        """Rows of SCHEMA, user by user in the given order. Those with like histories share a batch, to pad less."""
        order = sorted(range(len(users)), key=lambda place: len(histories[place].item_ids))
        rankings: dict[int, Ranking] = {}
        for first in range(0, len(order), self.options.batch_size):
            places = order[first : first + self.options.batch_size]
            ranked = self._rank([histories[place] for place in places])
            rankings.update(zip(places, ranked, strict=True))
        return self._table(users, [rankings[place] for place in range(len(users))])

    def _rank(self, histories: Sequence[History]) -> list[Ranking]:
        catalogue, scenario = self.bundle.catalogue, SCENARIOS[self.options.scenario]
        indices = [self.fresh.stand_ins(catalogue.find(history.item_ids)) for history in histories]
        known = [found > 0 for found in indices]
        inputs = model_input(
            [found[keep] for found, keep in zip(indices, known, strict=True)],
            [event_codes(each.event_types)[keep] for each, keep in zip(histories, known, strict=True)],
            [np.array(each.sent_at, np.int64)[keep] for each, keep in zip(histories, known, strict=True)],
            [self.now_ms] * len(histories),
        )
        hidden = [catalogue.find(list(hidden_items(each, (), scenario, self.now_ms))) for each in histories]
        gone = catalogue.unavailable
        eligible = np.stack([mask(catalogue.n_rows - 1, [each, gone]) for each in hidden])
        rankings = self.scorer.top_of_each(inputs, eligible[:, : self.bundle.n_items + 1])
        return [self.fresh.joined(ranking, row) for ranking, row in zip(rankings, eligible, strict=True)]

    def _table(self, users: Sequence[str], rankings: Sequence[Ranking]) -> pa.Table:
        item_of = self.bundle.catalogue.item_id
        chosen = [ranking.items[: self.options.n_results] for ranking in rankings]
        lengths = [len(items) for items in chosen]
        columns = (
            np.repeat(np.array(users, object), lengths),
            np.concatenate([np.arange(1, length + 1, dtype=np.int32) for length in lengths]),
            [item_of(index) for items in chosen for index in items.tolist()],
            np.concatenate([ranking.scores[: self.options.n_results] for ranking in rankings]),
        )
        arrays = (pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True))
        return pa.table(dict(zip(SCHEMA.names, arrays, strict=True)), SCHEMA)


class Profiles:
    """Every user's `user_profile` row at the newest cut-off. Raises DataError when features were not computed."""

    def __init__(self, dataset: Dataset) -> None:
        rows = dataset.features("user_profile")
        moment = pa.scalar(dataset.cutoffs.data_end, rows["event_timestamp"].type)
        rows = rows.filter(pc.equal(rows["event_timestamp"], moment)).sort_by("user_id")
        if not rows.num_rows:
            pointer = str(dataset.folder / "features" / "user_profile.parquet")
            remedy = f"run `fusionrec features sync --data {dataset.folder.name}` first"
            raise DataError(f"has no rows at the newest cut-off; {remedy}", pointer=pointer)
        self.user_ids: list[str] = rows["user_id"].to_pylist()
        self._rows = rows.select(_HISTORY).combine_chunks()
        self._place = {user: place for place, user in enumerate(self.user_ids)}

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._place

    def histories(self, user_ids: Sequence[str], length: int) -> list[History]:
        """Their newest events; of a user who is not known, none."""
        places = pa.array([self._place.get(user) for user in user_ids], pa.int64())
        state, found = UserState(), self._rows.take(places).to_pylist()
        return [merge_history({**state.profile, **_present(row)}, state.session, length) for row in found]


def _present(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def score(
    batch: BatchScorer, profiles: Profiles, users: Sequence[str], out: Path, progress: Callable[[int, int], None]
) -> Scored:
    """Write the users' slates to `out`, a Parquet file. progress: told how many users are done, and of how many.

    Parts of the same job that an interrupted run left are used; those of another job are thrown away.
    """
    job = _job(batch, users)
    folder = out.with_name(f".{out.name}.parts")
    if _is_of(out, job):
        return Scored(len(users), sum(user not in profiles for user in users), 0)
    if not _is_this_job(folder, job):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)  # that of the output too
        (folder / "job.json").write_bytes(job)
    n_fresh, parts, size = 0, [], batch.options.part_size
    for first in range(0, len(users), size):
        chosen = users[first : first + size]
        parts.append(folder / f"{first:012d}.parquet")
        if not parts[-1].exists():
            histories = profiles.histories(chosen, batch.bundle.manifest.history_length)
            _write(parts[-1], [batch.slates(chosen, histories)], SCHEMA)
            n_fresh += len(chosen)
        progress(first + len(chosen), len(users))
    _write(out, map(pq.read_table, parts), SCHEMA.with_metadata({_JOB: job}))
    shutil.rmtree(folder)
    return Scored(len(users), sum(user not in profiles for user in users), n_fresh)


def _write(path: Path, tables: Any, schema: pa.Schema) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    with pq.ParquetWriter(scratch, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(schema.metadata))
    scratch.replace(path)


def _job(batch: BatchScorer, users: Sequence[str]) -> bytes:
    """All that the slates depend on."""
    asked = hashlib.sha256("\n".join(users).encode()).hexdigest()
    facts = {"model_version": batch.bundle.manifest.model_version, "now_ms": batch.now_ms, "users": asked}
    if batch.log:
        facts["items_log"] = batch.log
    return json.dumps({**facts, **asdict(batch.options)}, sort_keys=True).encode()


def _is_this_job(folder: Path, job: bytes) -> bool:
    path = folder / "job.json"
    return path.is_file() and path.read_bytes() == job


def _is_of(out: Path, job: bytes) -> bool:
    """Is the file there already, made by the same job?"""
    try:
        return bool((pq.read_schema(out).metadata or {}).get(_JOB) == job)
    except (FileNotFoundError, pa.ArrowInvalid):
        return False
