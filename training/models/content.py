"""Content: items whose words and attributes are like those of the history. Places items that nobody ever touched.

    W[h, j] = cosine of the items' vectors (`training/content.py`), the `n_neighbours` largest of a row, j ≠ h

source: Lops, de Gemmis & Semeraro 2011, "Content-based Recommender Systems", Recommender Systems Handbook, sec. 3.3
limits: knows nothing of what users do, so it is weak alone; needs texts or attributes (without them it scores 0).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

from training.interactions import Interactions
from training.models.protocol import QUIET, Run
from training.models.sparse_rows import Fading, SparseRows, alike


@dataclass(frozen=True, slots=True)
class ContentConfig:
    n_neighbours: int = 100
    fading: Fading = field(default_factory=Fading)


class Content(SparseRows):
    name: ClassVar[str] = "content"

    def __init__(self, n_items: int, config: ContentConfig | None = None) -> None:
        self.config = config or ContentConfig()
        super().__init__(n_items, self.config.fading)

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        if data.content is not None:
            self.keep_matrix(alike(data.content, self.config.n_neighbours), self.config.n_neighbours)
        run.progress(1.0)
        return self
