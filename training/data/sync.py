"""Compute, apply and materialize as one piece of work that can be interrupted and continues where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self

from fusionrec.bundle.manifest import sha256_of
from fusionrec.errors import DataError
from fusionrec.feature_spec import FEATURE_SERVICES, VIEWS, FeatureView, spec_hash
from training.data.dataset import Dataset
from training.data.features.compute import RECIPE, compute_view
from training.data.updates import THROUGH

FILE_NAMES: Final = {False: "progress.json", True: "progress-cloud.json"}
CLOUD_VARIABLES: Final = ("AWS_ENDPOINT_URL", "AWS_REGION", "FUSIONREC_REGISTRY_URI", "FUSIONREC_TABLE_PREFIX")
BATCH_VIEWS: Final = tuple(view for view in VIEWS if not view.push_only)


class Reporter(Protocol):
    """Shows how far the work is."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


@dataclass(slots=True)
class Progress:
    """data/<dataset>/feast/progress[-cloud].json, written after every step that need not be repeated."""

    path: Path
    cloud: bool  # the store of feature_store.yaml, or the local one
    made_from: str  # hash of the data, of the spec, and the store: anything else begins anew
    computed: dict[str, str] = field(default_factory=dict)  # view → sha256 of its file
    applied: bool = False
    written: dict[str, int] = field(default_factory=dict)  # view → rows that are in the online store
    finished: list[str] = field(default_factory=list)  # views that the registry knows as materialized

    @classmethod
    def load(cls, dataset: Dataset, cloud: bool = False) -> Self:
        """What was done for these very events and items, this very feature spec and store; nothing when one changed."""
        path = dataset.folder / "feast" / FILE_NAMES[cloud]
        specs = [spec_hash(service) for service in FEATURE_SERVICES]
        stores = [os.environ.get(name, "") for name in CLOUD_VARIABLES] if cloud else []
        told = [str(dataset.metadata[THROUGH])] if THROUGH in dataset.metadata else []
        fresh = cls(path, cloud, "-".join([dataset.data_hash[:16], *specs, str(RECIPE), *stores, *told]))
        if cloud:  # features are computed once for both stores
            fresh.computed = cls.load(dataset).computed
        try:
            saved = json.loads(path.read_bytes())
            kept = cls(path, cloud, **saved)
        except (FileNotFoundError, ValueError, TypeError):  # none, or a damaged one: do it again
            return fresh
        return kept if kept.made_from == fresh.made_from else fresh

    def forget(self, stages: Sequence[str]) -> None:
        """Do these stages again, whatever was done."""
        if "compute" in stages:
            self.computed.clear()
        if "apply" in stages:
            self.applied = False
        if "materialize" in stages:
            self.written.clear()
            self.finished.clear()

    def save(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        scratch = self.path.with_suffix(".tmp")
        fields = asdict(self)
        del fields["path"], fields["cloud"]
        scratch.write_text(json.dumps(fields, indent=2) + "\n")
        scratch.replace(self.path)


def compute(dataset: Dataset, progress: Progress, report: Reporter) -> None:
    """features/<view>.parquet of every view; a file that is there and unchanged is kept."""
    for done, view in enumerate(VIEWS):
        report(f"computing {view.name}", done, len(VIEWS))
        path = dataset.folder / "features" / f"{view.name}.parquet"
        if path.is_file() and progress.computed.get(view.name) == sha256_of(path):
            continue
        compute_view(dataset, view)
        progress.computed[view.name] = sha256_of(path)
        progress.written.pop(view.name, None)
        progress.finished = [name for name in progress.finished if name != view.name]
        progress.save()
    report("features computed", len(VIEWS), len(VIEWS))


def apply(dataset: Dataset, progress: Progress, report: Reporter) -> None:
    """Register the definitions. Raises DataError when the features are not computed."""
    from training.data.feast_store import apply_definitions  # noqa: PLC0415  the Feast SDK takes seconds to import

    missing = [view.name for view in VIEWS if not (dataset.folder / "features" / f"{view.name}.parquet").is_file()]
    if missing:
        raise DataError(f"{', '.join(missing)} not computed; run `fusionrec features compute` or `sync`")
    report("applying the definitions", 0, 1)
    if not (progress.applied and has_store(progress, dataset)):
        apply_definitions(dataset, progress.cloud)  # locally this empties the batch views' online tables
        progress.applied = True
        progress.written.clear()
        progress.finished.clear()
        progress.save()
    report("definitions applied", 1, 1)


def materialize(dataset: Dataset, progress: Progress, report: Reporter) -> None:
    """Fill the online store with the rows of the last cut-off, in chunks; user_session is push-only and left alone."""
    from training.data import feast_store  # noqa: PLC0415  as above

    store = feast_store.open_store(dataset, progress.cloud)
    for view in BATCH_VIEWS:
        if view.name in progress.finished:
            continue
        rows = feast_store.newest_rows(dataset, view)
        for start in range(progress.written.get(view.name, 0), rows.num_rows, feast_store.CHUNK_ROWS):
            report(f"writing {view.name}", start, rows.num_rows)
            feast_store.write_online(store, view, rows.slice(start, feast_store.CHUNK_ROWS))
            progress.written[view.name] = min(start + feast_store.CHUNK_ROWS, rows.num_rows)
            progress.save()
        feast_store.finish(store, view, dataset)
        progress.finished.append(view.name)
        progress.save()
    report("online store filled", 1, 1)


def is_done(progress: Progress, dataset: Dataset) -> bool:
    """Everything computed, applied and written; nothing to do but to say so."""
    whole = {view.name for view in BATCH_VIEWS} == set(progress.finished)
    return (
        whole
        and progress.applied
        and has_store(progress, dataset)
        and all(is_current(progress, dataset, view) for view in VIEWS)
    )


def has_store(progress: Progress, dataset: Dataset) -> bool:
    """The local files are there and not empty, as SQLite leaves one that was deleted; the cloud's are the stack's."""
    files = [dataset.folder / "feast" / name for name in ("registry.db", "online.db")]
    return progress.cloud or all(path.is_file() and path.stat().st_size for path in files)


def is_current(progress: Progress, dataset: Dataset, view: FeatureView) -> bool:
    path = dataset.folder / "features" / f"{view.name}.parquet"
    return path.is_file() and progress.computed.get(view.name) == sha256_of(path)


Stage = Callable[[Dataset, Progress, Reporter], None]
STAGES: Final[tuple[Stage, ...]] = (compute, apply, materialize)
