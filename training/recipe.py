"""Which parts are fused, and with which settings: chosen by properties of the data, never by a data set's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import numpy as np

from training.best_settings import best_settings
from training.data.dataset import Dataset
from training.fusion.fit import FusionConfig
from training.fusion.stacker_fit import StackerFitConfig
from training.interactions import Interactions
from training.loop import LoopConfig
from training.models.als import Als, AlsConfig
from training.models.attention import Attention, AttentionConfig
from training.models.content import Content, ContentConfig
from training.models.ease import Ease, EaseConfig
from training.models.encoder import Encoder, EncoderConfig
from training.models.frequency import FrequencyAttention
from training.models.graph import Graph, GraphConfig
from training.models.item_knn import ItemKnn, ItemKnnConfig
from training.models.popularity import Popularity, PopularityConfig
from training.models.protocol import Part
from training.models.slist import Slist, SlistConfig
from training.models.sparse_rows import Fading
from training.models.transitions import Transitions, TransitionsConfig
from training.models.two_tower import TwoTower, TwoTowerConfig
from training.models.windows import WindowsConfig
from training.protocols import Split

_MAX_WINDOWS = 6_000  # of an epoch
_POSITIONS = 100_000  # that the attention part learns from
_MANY_WINDOWS, _MANY_POSITIONS = 60_000, 2_000_000  # the same where items are rare and a position costs less
TOWERS = TwoTowerConfig(dropout=0.3, loop=LoopConfig(n_epochs=24, learning_rate=8e-3))
Labels = Literal["validation", "earlier", "step-back"]
_RARE = 30.0  # interactions an item: below, contents and transitions speak where EASE has little to go by


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a training run; its `repr` is part of every stage's key."""

    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    ease: EaseConfig = field(default_factory=EaseConfig)
    transitions: TransitionsConfig | None = None  # None: the part is off
    slist: SlistConfig | None = None
    content: ContentConfig | None = None
    encoder: EncoderConfig | None = None
    attention: AttentionConfig | None = field(default_factory=AttentionConfig)
    item_knn: ItemKnnConfig | None = None
    als: AlsConfig | None = None
    graph: GraphConfig | None = None
    two_tower: TwoTowerConfig | None = None
    frequency: AttentionConfig | None = None
    fusion: FusionConfig = field(default_factory=FusionConfig)
    stacker: StackerFitConfig | None = field(default_factory=StackerFitConfig)  # None: one stage
    labels: Labels = "validation"  # what the fusion learns from
    top_k: int = 256

    @classmethod
    def for_split(cls, split: Split) -> Recipe:
        """A window is answered by many items, a left-out item by one: targets, fading, labels and parts follow.

        What comes next depends on what came last, so transitions and content join there. Where the average item has
        few interactions, what is known of it besides counts for more. Where users come back to items, their habits
        say nearly all of a window; where they do not, SLIST and two towers are missed (the ablations in
        docs/evaluation.md).
        """
        many = split.protocol == "temporal"
        fading = Fading() if many else Fading(half_life_steps=2.0)
        recipe = cls(
            ease=EaseConfig(fading=fading),
            attention=_attention(split.fit, many),
            labels="validation" if many else "step-back",
        )
        if len(split.fit) < _RARE * split.fit.n_items:
            return recipe.for_rare_items(split.fit, fading, many)
        if not many:
            return recipe.with_sequence(split.fit, fading)
        if repeats_matter(split.fit):
            return recipe
        return replace(recipe, slist=SlistConfig(fading=fading), two_tower=TOWERS)

    def with_sequence(self, data: Interactions, fading: Fading) -> Recipe:
        """With what learns from order, and two towers, and content where the catalogue has words, and the encoder where
        it was asked for."""
        content = None if data.content is None else ContentConfig(fading=fading)
        return replace(
            self,
            transitions=TransitionsConfig(fading=fading),
            slist=SlistConfig(fading=replace(fading, half_life_steps=2 * fading.half_life_steps)),
            content=content,
            encoder=None if data.vectors is None else EncoderConfig(fading=fading),
            two_tower=TOWERS,
        )

    def for_rare_items(self, data: Interactions, fading: Fading, many: bool) -> Recipe:
        """As `with_sequence`, with the graph, and more views of who had what, each wrong in its own way.

        Where the catalogue has words, these are in EASE, SLIST, transitions and graph, and where one item comes next
        nobody misses those views and attention (the ablation in docs/evaluation.md). many: a window is to be answered
        """
        recipe = replace(
            self.with_sequence(data, fading),
            graph=GraphConfig(n_factors=64, fading=fading),
            attention=self.attention and _attention_to_rare(data, self.attention),
            item_knn=ItemKnnConfig(fading=fading),
            als=AlsConfig(fading=fading),
        )
        if data.content is None or recipe.transitions is None or recipe.slist is None:
            return recipe
        return replace(
            recipe if many else replace(recipe, attention=None, item_knn=None, als=None),
            ease=replace(self.ease, l2=100.0, content=10.0),
            transitions=replace(recipe.transitions, n_alike=20, n_neighbours=256),
            slist=replace(recipe.slist, content=10.0, fading=fading),
        )

    def with_best(self, dataset: Dataset) -> Recipe:
        """With the settings that a search found for this data set and put in use. Raises DataError."""
        names = [entry.name for entry in fields(self) if entry.name not in ("fusion", "stacker", "labels", "top_k")]
        on = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(self, **{name: best_settings(dataset, name, config) for name, config in on.items()})

    def with_everything(self, split: Split) -> Recipe:
        """With every kind of part switched on: for finding out what each of them buys."""
        fading = self.ease.fading
        attention = self.attention or _attention_to_rare(split.fit, _attention(split.fit, many=False))
        content = None if split.fit.content is None else ContentConfig(fading=fading)
        return replace(
            self,
            transitions=self.transitions or TransitionsConfig(fading=fading),
            slist=self.slist or SlistConfig(fading=fading),
            content=self.content or content,
            encoder=self.encoder or (None if split.fit.vectors is None else EncoderConfig(fading=fading)),
            item_knn=self.item_knn or ItemKnnConfig(fading=fading),
            als=self.als or AlsConfig(fading=fading),
            graph=self.graph or GraphConfig(fading=fading),
            two_tower=self.two_tower or TOWERS,
            attention=attention,
            frequency=replace(attention, low_pass=0.5),
        )

    def parts(self, n_items: int) -> tuple[Part, ...]:
        """Unfitted, in the order in which answers list their contributions."""
        kinds: list[tuple[Callable[..., Part], object]] = [
            (Popularity, self.popularity),
            (Ease, self.ease),
            (Transitions, self.transitions),
            (Slist, self.slist),
            (Content, self.content),
            (Encoder, self.encoder),
            (Attention, self.attention),
            (ItemKnn, self.item_knn),
            (Als, self.als),
            (Graph, self.graph),
            (TwoTower, self.two_tower),
            (FrequencyAttention, self.frequency),
        ]
        return tuple(kind(n_items, config) for kind, config in kinds if config is not None)


def _attention(data: Interactions, many: bool) -> AttentionConfig:
    windows = WindowsConfig(
        batch_size=32 if many else 128, n_positions=16, n_targets=20 if many else 1, max_windows=_MAX_WINDOWS
    )
    config = AttentionConfig(windows=windows)
    n_epochs = _epochs(data, windows, config.max_length, _POSITIONS, 20)
    return replace(config, loop=LoopConfig(n_epochs=n_epochs, learning_rate=4e-3))


def _attention_to_rare(data: Interactions, config: AttentionConfig) -> AttentionConfig:
    """Items with few interactions need what is known of them besides, many looks, and much dropout."""
    windows = replace(config.windows, batch_size=256, n_positions=50, max_windows=_MANY_WINDOWS)
    n_epochs = _epochs(data, windows, config.max_length, _MANY_POSITIONS, 14)
    loop = LoopConfig(n_epochs=n_epochs, learning_rate=2e-3, weight_decay=0.0)
    return replace(config, dropout=0.4, side=96, n_negatives=1000, windows=windows, loop=loop)


def _epochs(data: Interactions, windows: WindowsConfig, width: int, n_positions: int, at_most: int) -> int:
    """Enough to learn from about `n_positions`: long histories are sampled, short ones passed over often."""
    lengths = np.maximum(np.diff(data.offsets) - 1, 0)
    n_windows = min(int(np.ceil(lengths / width).sum()), windows.max_windows)
    per_window = min(windows.n_positions, len(data) / max(int(np.ceil(lengths / width).sum()), 1))
    return int(np.clip(round(n_positions / max(n_windows * per_window, 1.0)), 1, at_most))


def repeats_matter(data: Interactions) -> bool:
    """Do users come back to items? Then seen items stay in the ranking. To remove an item is not to come back to it."""
    events = (data.users * (data.n_items + 1) + data.items)[data.chosen]
    return len(np.unique(events)) < 0.95 * len(events)
