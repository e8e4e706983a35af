"""From a fitted ranker to a bundle: ONNX graph with checked parity, catalogue, neighbours, manifest."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor

from fusionrec.bundle.catalogue import Column, vocabulary_hash, write_catalogue
from fusionrec.bundle.content import write_content
from fusionrec.bundle.manifest import Manifest, hash_files, write_manifest
from fusionrec.errors import BundleError
from fusionrec.feature_spec import EVENT_CODES, HISTORY_LENGTH, spec_hash
from fusionrec.scoring import session_options
from fusionrec.transforms import ModelInput
from training.content_index import content_postings
from training.fusion.ranker import FusedRanker
from training.models.protocol import Part
from training.onnx_graph import export_module, optimise, weights_of

FEATURE_SERVICE: Final = "fused_ranker_v1"
HISTORY_INPUTS: Final = ("history_items", "history_events", "history_age_days")
OUTPUTS: Final = ("items", "scores", "contributions", "base")
N_NEIGHBOURS: Final = 50
MAX_GRAPH_MB: Final = 1000.0  # a function of 1,769 MB has to hold it beside everything else
ABANDONED_S: Final = 24 * 3600  # no export takes that long
TOLERANCE: Final = 1e-4  # relative to the largest score of the answer


@dataclass(frozen=True, slots=True)
class BundleParts:
    """All that goes into a bundle besides the graph. Arrays have n_items + 1 rows, columns n_items."""

    item_ids: Sequence[str]  # vocabulary order, without padding
    columns: Mapping[str, Column]
    neighbours: Mapping[str, tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]]  # similar, complement
    popularity: npt.NDArray[np.float32]
    dataset: str
    data_hash: str
    data_cutoff: str
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    items_through: int = 0  # the last update of the item log that the columns hold
    items_log: str = ""  # sha256 of that update


def export_part(part: Part, path: Path) -> None:
    """One part as a graph with the ranker's history inputs and the output `scores`."""
    export_module(part, path, random_inputs(part.n_items, batch=2, length=7), HISTORY_INPUTS, ("scores",))


def export_ranker(ranker: FusedRanker, path: Path) -> None:
    """The fused ranker as one graph, dynamic in batch and history length, optimised."""
    n_items = ranker.n_items
    eligible = torch.ones(2, n_items + 1, dtype=torch.bool)
    example = (*random_inputs(n_items, batch=2, length=7), eligible)
    export_module(ranker, path, example, (*HISTORY_INPUTS, "eligible"), OUTPUTS)
    optimise(path)


def random_inputs(n_items: int, batch: int, length: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Histories of differing lengths, padded on the left; the first is as long as the array."""
    make = torch.Generator().manual_seed(seed)
    items = torch.randint(1, n_items + 1, (batch, length), generator=make)
    events = torch.randint(1, len(EVENT_CODES) + 1, (batch, length), generator=make)
    ages = torch.rand(batch, length, generator=make).mul_(300.0).sort(dim=1, descending=True).values
    real = torch.randint(0, length + 1, (batch,), generator=make)
    real[0] = length
    padded = torch.arange(length)[None, :] < length - real[:, None]
    return items.masked_fill(padded, 0), events.masked_fill(padded, 0), ages.masked_fill(padded, 0.0)


def check_size(path: Path) -> None:
    """Raises BundleError when a graph and its weights are larger than a function can hold."""
    size_mb = sum(file.stat().st_size for file in (path, weights_of(path)) if file.exists()) / 1e6
    if size_mb > MAX_GRAPH_MB:
        raise BundleError(
            f"{path.name} has {size_mb:,.0f} MB, at most {MAX_GRAPH_MB:,.0f} fit into a function; give the parts fewer "
            "neighbours or factors, or the catalogue fewer items (--min-item-users)"
        )


def check_parity(ranker: FusedRanker, path: Path) -> float:
    """The largest relative difference between graph and torch on random, empty, single and longest histories.

    raises: BundleError when it exceeds 1e-4
    """
    session = onnxruntime.InferenceSession(path, session_options(optimised=True))
    worst = 0.0
    for batch, length in ((1, 1), (3, 50), (14, HISTORY_LENGTH)):
        inputs = random_inputs(ranker.n_items, batch, length, seed=batch)
        empty = tuple(torch.zeros_like(array[:1, :1]) for array in inputs)
        everything = np.ones((batch, ranker.n_items + 1), bool)
        half = np.random.default_rng(batch).random(everything.shape) < 0.5
        for arrays, eligible in ((inputs, everything), (inputs, half), (empty, everything[:1])):
            asked = ModelInput(*(array.numpy() for array in arrays))
            worst = max(worst, _difference(ranker, session, asked, eligible))
    if worst > TOLERANCE:
        raise BundleError(f"{path.name} differs from torch by {worst:.1e} (at most {TOLERANCE:.0e}); do not publish it")
    return worst


def _difference(
    ranker: FusedRanker, session: onnxruntime.InferenceSession, inputs: ModelInput, eligible: npt.NDArray[np.bool_]
) -> float:
    """The answered items are the first stage's best, and each has torch's score among them: items of equal score may
    change places. Infinite when an item that is not eligible came back."""
    feeds = dict(zip((*HISTORY_INPUTS, "eligible"), (*inputs, eligible), strict=True))
    items, scores, contributions, base = session.run(list(OUTPUTS), feeds)
    first, second = _torch_scores(ranker, inputs, eligible, np.where(np.isneginf(scores), 0, items))
    best = -np.sort(-first, axis=1)[:, : ranker.top_k]
    chosen = -np.sort(-np.take_along_axis(first, items, axis=1), axis=1)
    of_items = np.take_along_axis(second, items, axis=1)
    total = np.where(np.isneginf(scores), -np.inf, base[:, None] + contributions.sum(axis=2))
    size = float(np.abs(best[np.isfinite(best)]).max(initial=0.0)) or 1.0
    sorted_scores = -np.sort(-scores, axis=1)
    pairs = ((chosen, best), (scores, of_items), (total, of_items), (scores, sorted_scores))
    return max(_largest_gap(found, expected) for found, expected in pairs) / size


def _torch_scores(
    ranker: FusedRanker, inputs: ModelInput, eligible: npt.NDArray[np.bool_], items: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Torch's scores (B, n_items + 1) in the first stage, and in the end when these items (B, K) are the candidates;
    -inf for padding, what is not eligible, and in the end all other items."""
    tensors = [torch.from_numpy(array) for array in inputs]
    asked = np.zeros_like(eligible)
    np.put_along_axis(asked, items, np.take_along_axis(eligible, items, axis=1), axis=1)
    second = np.full(eligible.shape, -np.inf, np.float32)
    with torch.inference_mode():
        history_items, _, age_days = tensors
        first = ranker.first_scores(ranker.standardised(*tensors), history_items, age_days)
        first = first.masked_fill(~torch.from_numpy(eligible), -torch.inf)
        found, scores, _, _ = ranker(*tensors, torch.from_numpy(asked))
    np.put_along_axis(second, found.numpy(), scores.numpy(), axis=1)
    return first.numpy(), second


def _largest_gap(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Infinite when only one of them is a number: NaN would compare as no difference."""
    unfilled = np.isneginf(found) & np.isneginf(expected)  # fewer eligible items than places
    with np.errstate(invalid="ignore"):
        gaps = np.where(unfilled, 0.0, np.abs(found - expected))
    return float(gaps.max()) if np.isfinite(gaps).all() else float("inf")


def write_bundle(folder: Path, ranker: FusedRanker, parts: BundleParts, *, created_at: datetime | None = None) -> Path:
    """Write, check and hash a bundle; it appears under its name only when it is whole. Returns `folder`."""
    if folder.exists():
        raise BundleError(f"{folder} exists already; a bundle is never overwritten")
    remove_abandoned(folder.parent)
    work = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    try:
        (work / "neighbours").mkdir(parents=True)
        export_ranker(ranker, work / "ranker.onnx")
        check_size(work / "ranker.onnx")
        check_parity(ranker, work / "ranker.onnx")
        write_catalogue(work / "catalogue", parts.item_ids, parts.columns)
        write_content(work / "content", content_postings(parts.columns))
        for kind, (items, scores) in parts.neighbours.items():
            np.save(work / "neighbours" / f"{kind}_items.npy", items.astype(np.int32))
            np.save(work / "neighbours" / f"{kind}_scores.npy", scores.astype(np.float32))
        np.save(work / "popularity.npy", parts.popularity.astype(np.float32))
        write_manifest(work, _manifest(folder.name, work, ranker, parts, created_at or datetime.now(UTC)))
        work.rename(folder)
    except BaseException:  # an interrupt, too: the next version has another name and would never find it
        shutil.rmtree(work, ignore_errors=True)
        raise
    return folder


def remove_abandoned(bundles: Path) -> None:
    """What exports that were killed left behind; a folder that is younger may be one that is being written."""
    for folder in bundles.glob(".*.part"):
        if folder.is_dir() and time.time() - folder.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(folder, ignore_errors=True)


def _manifest(version: str, folder: Path, ranker: FusedRanker, parts: BundleParts, created_at: datetime) -> Manifest:
    return Manifest(
        model_version=version,
        created_at=created_at.isoformat(timespec="seconds"),
        dataset=parts.dataset,
        data_hash=parts.data_hash,
        data_cutoff=parts.data_cutoff,
        items_through=parts.items_through,
        items_log=parts.items_log,
        feature_service=FEATURE_SERVICE,
        feature_spec_hash=spec_hash(FEATURE_SERVICE),
        vocabulary_hash=vocabulary_hash(parts.item_ids),
        n_items=len(parts.item_ids),
        history_length=HISTORY_LENGTH,
        optimised=True,
        top_k=ranker.top_k,
        parts=ranker.part_names,
        metrics={name: dict(values) for name, values in parts.metrics.items()},
        privacy={"mechanism": "none"},
        files=hash_files(folder),
    )
