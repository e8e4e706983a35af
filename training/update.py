"""A served model brought up to date with a newer preparation of the same data, without a training.

EASE and transitions follow step by step (`feedback/incremental.py`), popularity and the facts of the items are counted
anew, attention goes on learning where that is asked for (`fine_tuning.py`). All other parts and both stages of the
fusion stay as they were learnt. The model is judged on the last of the new events, having seen nothing of them, beside
the model that is served and the most popular items; only then does it learn from them, too, and becomes a bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import numpy as np

from fusionrec.errors import BadInputError, DataError
from training import metrics, publish, update_state
from training.data.dataset import Dataset
from training.evaluate import FUSION, Evaluation, Seen, evaluate, rank
from training.export import write_bundle
from training.feedback.incremental import EasePrecision, EaseUpkeep, TransitionCounts
from training.fine_tuning import FineTuneConfig, choose_epochs, fine_tune
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests
from training.models.attention import Attention
from training.models.ease import Ease
from training.models.popularity import Popularity
from training.models.protocol import Part, Run
from training.models.transitions import Transitions
from training.protocols import Past, temporal
from training.stages import Stages, code_hash, key_of
from training.train import bundle_parts
from training.update_source import News, Source, end_ms, with_missing
from training.update_state import State

_NOBODY: Final = Requests(*(np.zeros(0, np.int64) for _ in range(4)))


@dataclass(frozen=True, slots=True)
class Tested:
    """On the tail, by a model that did not see it. gain: NDCG@10 of the fusion minus that of the model before."""

    evaluation: Evaluation
    gain: Mapping[str, float]
    n_epochs: int  # of fine-tuning that did good


@dataclass(frozen=True, slots=True)
class Updated:
    folder: Path  # of the bundle
    before: str  # the version that it was made from
    tested: Tested
    news: News
    tail_from: datetime
    anew: bool  # EASE's precision was fitted anew


def update(
    dataset: Dataset, stages: Stages, test_days: float | None = None, tuning: FineTuneConfig | None = None
) -> Updated | None:
    """The served model brought up to date, as a new bundle; None when there is nothing new.

    tuning: None leaves attention as it is
    raises: DataError, with the remedy, where it cannot be updated
    """
    bundles = dataset.folder / "bundles"
    source = Source.read(dataset, bundles)
    if source is None:
        return None
    job = Job(source, stages, source.tail_ms(test_days), tuning)
    tested = stages.once("test of the update", job.key, lambda _: job.test())
    made = [path for path in sorted(bundles.glob(f"*-{job.key}")) if update_state.is_kept(dataset, path.name)]
    folder = made[-1] if made else job.export(bundles, tested)
    tail_from = datetime.fromtimestamp(job.tail_ms / 1000, UTC)
    return Updated(folder, source.state.version, tested, source.news, tail_from, job.upkeep.anew)


def require_no_loss(done: Updated) -> None:
    """The promotion gate asks for more than the most popular items; an update must not lose against itself, either.

    raises: GateError when the model before was better on the tail, by more than chance
    """
    gain = done.tested.gain
    if gain["high"] < 0.0:
        raise publish.GateError(
            f"bundle {done.folder.name}: ndcg@10 {gain['after']:.4f} on the new events is less than "
            f"{gain['before']:.4f} of {done.before}, by more than chance; it is not promoted: run `fusionrec train "
            f"--data {done.folder.parent.parent.name}`"
        )


@dataclass(slots=True)
class Upkeep:
    """The parts that are counted, as of some state of all histories."""

    ease: EaseUpkeep | None
    transitions: TransitionCounts | None
    at: Interactions
    anew: bool = False

    @classmethod
    def of(cls, state: State, before: Interactions) -> Self:
        """Without a kept precision, and so with the first update, EASE begins with a fit at the first `advance`."""
        ease = next(part for part in state.fitted.parts if isinstance(part, Ease))
        kept = None
        if state.precision is not None:
            head = ease.row_of.nonzero().flatten().numpy()
            kept = EaseUpkeep(ease.config, head, EasePrecision(state.precision))
        return cls(kept, state.counts, before)

    def advance(self, after: Interactions, parts: Sequence[Part]) -> None:
        """To these histories. parts: whose settings count"""
        for part in parts:
            if isinstance(part, Ease):
                if self.ease is None:
                    self.ease, self.anew = EaseUpkeep.fit(after, part.config), True
                elif not self.ease.advance(self.at, after):
                    self.anew = True
            if isinstance(part, Transitions):
                if self.transitions is None:
                    self.transitions = TransitionCounts.fit(after, part.config)
                else:
                    self.transitions.advance(self.at, after)
        self.at = after


@dataclass(slots=True)
class Job:
    """One update: first up to the tail, then to the end of the data."""

    source: Source
    stages: Stages
    tail_ms: int
    tuning: FineTuneConfig | None
    upkeep: Upkeep = field(init=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        state, dataset = self.source.state, self.source.prepared.dataset
        self.upkeep = Upkeep.of(state, self.source.aligned.before)
        code = code_hash(["training.update"])
        self.key = key_of("update", state.version, dataset.data_hash, self.tail_ms, self.tuning, code)

    def test(self) -> Tested:
        """Judge on the tail what has not seen it. Raises DataError when nobody can be asked."""
        source, fitted = self.source, self.source.state.fitted
        data = source.prepared.data
        requests = temporal(data, self.tail_ms, self.tail_ms, end_ms(source.prepared.dataset)).test
        if not len(requests.users):
            at = datetime.fromtimestamp(self.tail_ms / 1000, UTC)
            raise DataError(f"nobody did anything since {at:%Y-%m-%d %H:%M}; give more", pointer="--test-days")
        known = Past(data.prefix(data.ends_before(self.tail_ms)), self.tail_ms, _NOBODY)
        n_epochs = self._epochs(known.fit)
        ranker = self._ranker(known, n_epochs, " before the tail")
        before = fitted.fused.ranker(
            fitted.parts, fitted.top_k, Past(source.aligned.before, fitted.data_end_ms, _NOBODY)
        )
        self.stages.report("judging the update", 0.0)
        evaluation = evaluate(
            ranker, data, requests, seen=fitted.seen, background=source.prepared.background(known.fit)
        )
        gain = compared(ranker, before, data, requests, fitted.seen)
        self.stages.report("judging the update", 1.0)
        return Tested(evaluation, gain, n_epochs)

    def export(self, bundles: Path, tested: Tested) -> Path:
        """What the next update starts from is kept first, so that no bundle is without."""
        source, fitted = self.source, self.source.state.fitted
        prepared, aligned = source.prepared, source.aligned
        now_ms = end_ms(prepared.dataset)
        ranker = self._ranker(Past(prepared.data, now_ms, _NOBODY), tested.n_epochs, "")
        version = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{self.key}"
        parts: tuple[Part, ...] = tuple(ranker.parts)  # type: ignore[arg-type]
        renewed = replace(
            fitted, parts=parts, user_ids=aligned.user_ids, data=aligned.present(), data_end_ms=now_ms,
            attention_ms=now_ms if tested.n_epochs else fitted.attention_ms,
            n_updates=fitted.n_updates + 1,
        )  # fmt: skip
        precision = self.upkeep.ease.model.precision if self.upkeep.ease else None
        state = State(version, prepared.dataset.data_hash, renewed, precision, self.upkeep.transitions)
        self.stages.report("export", 0.0)
        state.save(prepared.dataset)
        told = bundle_parts(prepared, ranker, tested.evaluation)
        path = write_bundle(
            bundles / version, ranker, with_missing(told, aligned.missing, bundles / source.state.version)
        )
        self.stages.report("export", 1.0)
        return path

    def _epochs(self, known: Interactions) -> int:
        if self.tuning is None:
            return 0
        fitted = self.source.state.fitted
        attention = next((part for part in fitted.parts if type(part) is Attention), None)
        if attention is None:
            raise BadInputError(
                "the model has no attention part that could learn on; leave it out", pointer="--fine-tune"
            )
        return choose_epochs(attention, known, fitted.attention_ms, self.tuning, fitted.seen, self._step)

    def _ranker(self, known: Past, n_epochs: int, where: str) -> FusedRanker:
        """As of these data. where: ends the names of stages"""
        fitted = self.source.state.fitted
        self.stages.report(f"ease and transitions{where}", 0.0)
        self.upkeep.advance(known.fit, fitted.parts)
        self.stages.report(f"ease and transitions{where}", 1.0)
        parts = [self._renewed(part, known, n_epochs, where) for part in fitted.parts]
        return fitted.fused.ranker(parts, fitted.top_k, known)

    def _renewed(self, part: Part, known: Past, n_epochs: int, where: str) -> Part:
        data = known.fit
        if isinstance(part, Ease) and self.upkeep.ease is not None:
            return self.upkeep.ease.part(part.n_items)
        if isinstance(part, Transitions) and self.upkeep.transitions is not None:
            return self.upkeep.transitions.part(part.n_items, data.content)
        if isinstance(part, Popularity):
            fresh = Popularity(part.n_items, part.config)
            return self.stages.once(f"popularity{where}", self.key, lambda run: fresh.fit(data, known.now_ms, run))
        if type(part) is Attention and self.tuning is not None:
            since = self.source.state.fitted.attention_ms
            return fine_tune(part, data, since, self.tuning, n_epochs, self._step, where)
        return part

    def _step(self, name: str, work: Callable[[Run], Attention]) -> Attention:
        return self.stages.once(name, self.key, work)


def compared(
    new: FusedRanker, old: FusedRanker, data: Interactions, requests: Requests, seen: Seen
) -> Mapping[str, float]:
    """Paired over users: NDCG@10 of the one fusion minus the other's."""
    after, before = (ndcg_of(ranker, data, requests, seen) for ranker in (new, old))
    test = metrics.paired_test(after, before, metrics.resample_weights(len(requests.users)))
    return {"before": float(before.mean()), "after": float(after.mean()), **test}


def ndcg_of(
    ranker: FusedRanker, data: Interactions, requests: Requests, seen: Seen, model: str = FUSION
) -> metrics.FloatArray:
    """NDCG@10 of the fusion, or of a part, float64 (R,)."""
    slates = rank(ranker, data, requests, seen=seen, seed=0).slates[model]
    relevant = [requests.relevant(data, row) for row in range(len(requests.users))]
    hits = np.stack([np.isin(slate, items) for slate, items in zip(slates, relevant, strict=True)])
    return metrics.ndcg(hits[:, :10], np.array([len(items) for items in relevant]), 10)
