"""Which parts are fused, and with which settings: chosen by properties of the data, never by a data set's name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from training.fusion.fit import FusionConfig
from training.interactions import Interactions
from training.loop import LoopConfig
from training.models.attention import Attention, AttentionConfig
from training.models.content import Content, ContentConfig
from training.models.ease import Ease, EaseConfig
from training.models.popularity import Popularity, PopularityConfig
from training.models.protocol import Part
from training.models.sparse_rows import Fading
from training.models.transitions import Transitions, TransitionsConfig
from training.models.windows import WindowsConfig
from training.protocols import Split

_MAX_WINDOWS = 6_000  # of an epoch
_POSITIONS = 100_000  # that the attention part learns from
_RARE = 30.0  # interactions an item: below, contents and transitions speak where EASE has little to go by


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a training run; its `repr` is part of every stage's key."""

    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    ease: EaseConfig = field(default_factory=EaseConfig)
    transitions: TransitionsConfig | None = None  # None: the part is off
    content: ContentConfig | None = None
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    top_k: int = 300

    @classmethod
    def for_split(cls, split: Split) -> Recipe:
        """A window is answered by many items, a left-out item by one: sequence targets and fading follow.

        Transitions and content join where the average item has few interactions.
        """
        many = split.protocol == "temporal"
        fading = Fading() if many else Fading(half_life_steps=2.0)
        windows = WindowsConfig(
            batch_size=32 if many else 128, n_positions=16, n_targets=20 if many else 1, max_windows=_MAX_WINDOWS
        )
        attention = AttentionConfig(windows=windows)
        loop = LoopConfig(n_epochs=_epochs(split.fit, windows, attention.max_length), learning_rate=4e-3)
        recipe = cls(ease=EaseConfig(fading=fading), attention=replace(attention, loop=loop))
        return recipe.for_rare_items(split.fit, fading) if len(split.fit) < _RARE * split.fit.n_items else recipe

    def for_rare_items(self, data: Interactions, fading: Fading) -> Recipe:
        """With transitions; where the catalogue has words, with content as a part, in EASE and in transitions."""
        if data.content is None:
            return replace(self, transitions=TransitionsConfig(fading=fading))
        return replace(
            self,
            ease=replace(self.ease, l2=100.0, content=10.0),
            transitions=TransitionsConfig(n_alike=20, fading=fading),
            content=ContentConfig(fading=fading),
        )

    def parts(self, n_items: int) -> tuple[Part, ...]:
        parts: list[Part] = [Popularity(n_items, self.popularity), Ease(n_items, self.ease)]
        if self.transitions:
            parts.append(Transitions(n_items, self.transitions))
        if self.content:
            parts.append(Content(n_items, self.content))
        return (*parts, Attention(n_items, self.attention))


def _epochs(data: Interactions, windows: WindowsConfig, width: int) -> int:
    """Enough to learn from about `_POSITIONS` positions: long histories are sampled, short ones passed over often."""
    lengths = np.maximum(np.diff(data.offsets) - 1, 0)
    n_windows = min(int(np.ceil(lengths / width).sum()), windows.max_windows)
    per_window = min(windows.n_positions, len(data) / max(int(np.ceil(lengths / width).sum()), 1))
    return int(np.clip(round(_POSITIONS / max(n_windows * per_window, 1.0)), 1, 20))


def repeats_matter(data: Interactions) -> bool:
    """Do users come back to items? Then seen items stay in the ranking."""
    pairs = np.unique(data.users * (data.n_items + 1) + data.items)
    return len(pairs) < 0.95 * len(data)
