"""The honest two-phase run: fit on the past, fuse on the validation window, judge on the test window, refit on all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fusionrec.bundle.manifest import sha256_of
from fusionrec.errors import DataError
from fusionrec.feature_spec import spec_hash
from training import update_state
from training.background import Background, item_attributes, item_categories
from training.content import content_hash, item_content
from training.data.dataset import Dataset
from training.data.protocols import REMEDIES, refusal
from training.data.updates import held
from training.evaluate import Evaluation, Seen, evaluate
from training.export import FEATURE_SERVICE, N_NEIGHBOURS, BundleParts, write_bundle
from training.fusing import Fused, fit_fused, fit_parts, fusion_key
from training.fusion.ranker import FusedRanker
from training.interactions import Interactions, Requests, Vocabulary, read_interactions
from training.item_columns import item_columns
from training.labels import labels_hash, read_feedback
from training.models.attention import Attention
from training.models.ease import Ease
from training.models.graph import Graph
from training.models.popularity import Popularity
from training.models.protocol import Part, Run
from training.neighbours import nearest_by_vectors, strongest_weights
from training.protocols import Past, Protocol, Split, split
from training.recipe import TOWERS, Labels, Recipe, repeats_matter
from training.seeding import seeded
from training.sentences import item_texts, sentence_vectors
from training.stages import Report, Stages, code_hash, key_of, unheard
from training.update_state import Fitted, State
from training.variants import Variant


@dataclass(frozen=True, slots=True)
class Judged:
    """A ranker fitted without the test window, and what it was worth there."""

    ranker: FusedRanker
    fused: Fused
    evaluation: Evaluation
    recipe: Recipe
    protocol: Protocol
    key: str  # of data, protocol, recipe and code
    other_labels: Labels | None = None  # that the fusion learnt from; None: those of the recipe


@dataclass(frozen=True, slots=True)
class Prepared:
    """A data set as arrays."""

    dataset: Dataset
    data: Interactions
    vocabulary: Vocabulary
    variant: Variant = field(default_factory=Variant)
    ties: str = ""  # by which rule ties were told and shuffled
    labels: str = ""  # hash of the feedback that was read; "": none
    user_ids: tuple[str, ...] = ()  # in the order of `data.offsets`

    @classmethod
    def read(
        cls, dataset: Dataset, variant: Variant | None = None, *, feedback: bool = False, report: Report = unheard
    ) -> Prepared:
        """feedback: with the labels of `events labels`, where they are there and tell something of these data;
        report: hears of the encoder, which takes minutes.

        raises: BadInputError when the encoder is asked for and not installed
        """
        variant = variant or Variant()
        data, vocabulary, user_ids = read_interactions(dataset)
        told = read_feedback(dataset, data, vocabulary, user_ids) if feedback and variant.as_served else None
        data = replace(data, feedback=told)
        data, ties = variant.read(dataset, data, vocabulary)
        content = None if variant.ids_only else item_content(dataset, vocabulary)
        prices = None if variant.ids_only else data.prices
        vectors = None
        if variant.encoder:
            texts = item_texts(dataset, vocabulary)
            vectors = sentence_vectors(texts, dataset.folder / "work", lambda share: report("sentence encoder", share))
        labels = "" if told is None else labels_hash(dataset)
        data = replace(data, content=content, prices=prices, vectors=vectors)
        return cls(dataset, data, vocabulary, variant, ties, labels, user_ids)

    def background(self, fit: Interactions) -> Background:
        """What slates are measured against; by the same yardstick where models saw ids alone."""
        content = item_content(self.dataset, self.vocabulary) if self.variant.ids_only else self.data.content
        what = (item_categories(self.dataset, self.vocabulary), item_attributes(self.dataset, self.vocabulary))
        return Background.of(replace(fit, content=content), *what)

    def key(self, cut: str) -> str:
        """Of all that parts and fusion learn from: the data, read in this variant and cut in this way."""
        dataset, data = self.dataset, self.data
        facts = (dataset.data_hash, self.vocabulary.item_ids, content_hash(data.content), dataset.cutoffs, cut)
        names = ["interactions", "protocols", "content", "variants"]
        names += ["sentences"] * self.variant.encoder + ["labels"] * bool(self.labels)
        code = code_hash([f"training.{name}" for name in names])
        return key_of(*facts, self.labels, *self.variant.facts(), self.ties, code)

    @property
    def catalogue_key(self) -> str:
        """Of all that the catalogue says and of the item log behind it; more than parts learn from."""
        return key_of(sha256_of(self.dataset.folder / "items.parquet"), held(self.dataset.metadata))

    @property
    def protocol(self) -> Protocol:
        """The protocol that suits the data when none is asked for."""
        return "temporal" if self.dataset.has_times else "leave-one-out"

    def split(self, protocol: Protocol, labels: Labels | None = None) -> Split:
        """The data cut for fitting, choosing and judging.

        raises: DataError when there is nothing to learn from, or nobody to ask for in a window that is needed
        """
        cut = split(self.data, protocol, self.dataset.cutoffs)
        n_found = {"train": len(cut.fit), "validation": len(cut.validation.users), "test": len(cut.test.users)}
        if labels == "earlier":
            n_found["one step before validation"] = len(cut.earlier.requests.users)
        for window, n in n_found.items():
            if not n:
                raise DataError(refusal(protocol, window), pointer=str(self.dataset.folder))
        return cut


def judge(
    prepared: Prepared,
    stages: Stages,
    protocol: Protocol,
    seen: Seen | None = None,
    seed: int = 0,
    labels: Labels | None = None,
) -> Judged:
    """Fit parts, fit the fusion on the validation window, and look at the test window once.

    seed: of what the parts draw at random, of equal scores and of resampling
    labels: what the fusion learns from instead of what the recipe says
    """
    cut = prepared.split(protocol, labels)
    usual = usual_recipe(prepared, protocol, cut)
    recipe = seeded(replace(usual, labels=labels or usual.labels), seed)
    if recipe.labels != "validation" and not len(cut.earlier.fit):
        detail = f"nothing was done before one step back; --labels {recipe.labels} needs that: {REMEDIES[protocol]}"
        raise DataError(detail, pointer=str(prepared.dataset.folder))
    seen = seen or ("keep" if repeats_matter(cut.fit) else "mask")
    data_key = prepared.key(protocol)
    parts, fused = fit_fused(stages, recipe, prepared.data, cut, seen == "mask", data_key)
    ranker = fused.ranker(parts, recipe.top_k, Past(cut.fit, cut.fit_now_ms, cut.validation))
    key = key_of(fusion_key(recipe, data_key, seen == "mask"), seed)

    def look(run: Run) -> Evaluation:
        background = prepared.background(cut.fit)
        with run.device.holding(ranker):
            return evaluate(
                ranker, prepared.data, cut.test, seen=seen, seed=seed, background=background, progress=run.progress
            )

    test_key = key_of(key, prepared.catalogue_key, code_hash(["training.evaluate", "training.background"]))
    evaluation = stages.once(f"test window, seen items {seen}", test_key, look)
    other_labels = None if recipe.labels == usual.labels else recipe.labels
    return Judged(ranker, fused, evaluation, recipe, protocol, key, other_labels)


def usual_recipe(prepared: Prepared, protocol: Protocol, cut: Split) -> Recipe:
    """What suits the data, with the settings that a search put in use. Raises DataError when those cannot be read."""
    usual = Recipe.for_split(cut)
    if cut.fit.feedback is not None and usual.two_tower is None:  # the towers alone learn from labels
        usual = replace(usual, two_tower=TOWERS)
    if protocol == prepared.protocol and prepared.variant.as_served:  # in another reading, what a search chose on
        usual = usual.with_best(prepared.dataset)  # could be the test
    return usual


def train(prepared: Prepared, stages: Stages, bundles: Path, seed: int = 0) -> tuple[Path, Judged]:
    """Judge, refit the parts on everything with the fusion learned before, and write the bundle.

    Nothing is done twice: when a bundle of the same data, recipe and code is there, it is returned. What a later update
    starts from is kept first, so that no bundle is without.
    """
    judged = judge(prepared, stages, prepared.protocol, seed=seed)
    key = key_of(judged.key, prepared.catalogue_key, spec_hash(FEATURE_SERVICE), code_hash(["training.train"]))
    dataset, data = prepared.dataset, prepared.data
    made = sorted(bundles.glob(f"*-{key}"))
    if made and (update_state.is_kept(dataset, made[-1].name) or not dataset.has_times):
        stages.report(f"bundle {made[-1].name} (kept)", 1.0)
        return made[-1], judged
    now_ms = round(dataset.cutoffs.data_end.timestamp() * 1000)
    everything = Past(data, now_ms, Requests(*(np.zeros(0, np.int64) for _ in range(4))))
    parts = fit_parts(stages, judged.recipe.parts(data.n_items), everything, prepared.key("all"), " on everything")
    ranker = judged.fused.ranker(parts, judged.recipe.top_k, everything)
    version = made[-1].name if made else f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{key}"
    if dataset.has_times:
        keep_for_updates(prepared, version, judged, parts, now_ms)
    if made:
        return made[-1], judged
    stages.report("export", 0.0)
    bundles.mkdir(parents=True, exist_ok=True)
    path = write_bundle(bundles / version, ranker, bundle_parts(prepared, ranker, judged.evaluation))
    stages.report("export", 1.0)
    return path, judged


def keep_for_updates(prepared: Prepared, version: str, judged: Judged, parts: Sequence[Part], now_ms: int) -> None:
    """What `fusionrec update` starts from."""
    fitted = Fitted(
        parts=tuple(parts),
        fused=judged.fused,
        top_k=judged.recipe.top_k,
        seen=judged.evaluation.seen,
        item_ids=prepared.vocabulary.item_ids,
        user_ids=prepared.user_ids,
        data=prepared.data,
        data_end_ms=now_ms,
        attention_ms=now_ms,
    )
    State(version, prepared.dataset.data_hash, fitted).save(prepared.dataset)


def bundle_parts(prepared: Prepared, ranker: FusedRanker, evaluation: Evaluation) -> BundleParts:
    """Everything of a bundle besides the graph."""
    dataset = prepared.dataset
    ease = ranker.part(Ease)
    placed = next(part for part in ranker.parts if isinstance(part, Attention | Graph))  # attention where it is on
    return BundleParts(
        item_ids=prepared.vocabulary.item_ids,
        columns=item_columns(dataset, prepared.vocabulary),
        neighbours={
            "similar": nearest_by_vectors(placed.item_vectors(), N_NEIGHBOURS),
            "complement": strongest_weights(ease, N_NEIGHBOURS, prepared.data if ease.config.content else None),
        },
        popularity=ranker.part(Popularity).popularity,
        dataset=dataset.name,
        data_hash=dataset.data_hash,
        data_cutoff=dataset.cutoffs.data_end.isoformat(),
        **held(dataset.metadata),
        metrics=evaluation.means(),
    )
