"""Item-kNN: items that the same users had, however many users each of them has.

    n_ij = Σ_u v_ui v_uj,  v_ui = (items of u)^-user_power where u had i: who had everything says little
    W[i, j] = n_ij / (n_ii^power · n_jj^(1 - power)) · n_ij / (n_ij + shrink)

power = 1/2 is the cosine; above it, rare items come first less often. Shrinking distrusts what few users say. The
`n_neighbours` largest of a row are kept, and `sparse_rows.py` sums them over the fading history.

source: Deshpande & Karypis 2004, "Item-based top-N recommendation algorithms", TOIS 22(1); shrinking as in Bell &
        Koren 2007, "Scalable Collaborative Filtering with Jointly Derived Neighborhood Interpolation Weights", ICDM;
        asymmetric cosine as in Aiolli 2013, "Efficient Top-N Recommendation for Very Large Scale Binary Rated
        Datasets", RecSys
limits: knows no order; memory grows with the pairs that a user's items make, so that histories are cut to their
        newest `max_history` items.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp

from training.interactions import Interactions
from training.models.ease import seen_matrix
from training.models.protocol import QUIET, Run
from training.models.sparse_rows import Fading, SparseRows


@dataclass(frozen=True, slots=True)
class ItemKnnConfig:
    power: float = 0.5
    user_power: float = 0.25
    shrink: float = 1.0  # in users
    n_neighbours: int = 128
    max_history: int = 500
    fading: Fading = field(default_factory=Fading)


class ItemKnn(SparseRows):
    name: ClassVar[str] = "item_knn"

    def __init__(self, n_items: int, config: ItemKnnConfig | None = None) -> None:
        self.config = config or ItemKnnConfig()
        super().__init__(n_items, self.config.fading)

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        weights = item_similarities(seen_matrix(newest(data, self.config.max_history)), self.config)
        run.progress(0.7)
        self.keep_matrix(weights, self.config.n_neighbours)
        run.progress(1.0)
        return self


def newest(data: Interactions, n: int) -> Interactions:
    """The newest n interactions of each user."""
    return data.where(np.arange(len(data)) >= np.repeat(data.offsets[1:] - n, np.diff(data.offsets)))


def item_similarities(seen: sp.csr_matrix, config: ItemKnnConfig) -> sp.csr_matrix:
    """W, float32 (n_items + 1, n_items + 1), zero diagonal. seen: (U, n_items + 1), 1 = had it."""
    n_had = np.maximum(np.asarray(seen.sum(axis=1)).ravel(), 1.0)
    tamed = sp.csr_matrix(sp.diags((n_had**-config.user_power).astype(np.float32)) @ seen)
    together = sp.csr_matrix(tamed.T.tocsr() @ tamed)  # rows times rows: half the time of columns times rows
    own = np.maximum(together.diagonal(), 1e-9)
    together.setdiag(0.0)
    together.eliminate_zeros()
    of_row = np.repeat(own**-config.power, np.diff(together.indptr))
    of_column = (own ** (config.power - 1.0))[together.indices]
    both = together.data
    together.data = (both * both / (both + config.shrink) * of_row * of_column).astype(np.float32)
    return together
