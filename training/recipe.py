"""Which parts are fused, and with which settings: chosen by properties of the data, never by a data set's name."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.fusion.fit import FusionConfig
from training.interactions import Interactions
from training.loop import LoopConfig
from training.models.attention import Attention, AttentionConfig
from training.models.ease import Ease, EaseConfig
from training.models.popularity import Popularity, PopularityConfig
from training.models.protocol import Part
from training.models.windows import WindowsConfig
from training.protocols import Split

_POSITION_BUDGET = 60_000  # positions that the attention part learns from where one pass over the data is longer


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a training run; its `repr` is part of every stage's key."""

    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    ease: EaseConfig = field(default_factory=EaseConfig)
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    top_k: int = 300

    @classmethod
    def for_split(cls, split: Split) -> Recipe:
        """A window is answered by many items, a left-out item by one: sequence targets follow."""
        many = split.protocol == "temporal"
        windows = WindowsConfig(batch_size=32 if many else 128, n_positions=16, n_targets=20 if many else 1)
        return cls(attention=AttentionConfig(windows=windows, loop=LoopConfig(n_epochs=_epochs(split.fit, many))))

    def parts(self, n_items: int) -> tuple[Part, ...]:
        return (
            Popularity(n_items, self.popularity),
            Ease(n_items, self.ease),
            Attention(n_items, self.attention),
        )


def _epochs(data: Interactions, many: bool) -> int:
    """Short sequences are passed over many times, long ones once."""
    mean_length = len(data) / max(data.n_users, 1)
    return 1 if many and mean_length > 50 else 12


def repeats_matter(data: Interactions) -> bool:
    """Do users come back to items? Then seen items stay in the ranking."""
    pairs = np.unique(data.users * (data.n_items + 1) + data.items)
    return len(pairs) < 0.95 * len(data)
