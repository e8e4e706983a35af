"""EASE and transitions brought up to date for the users who did something, without fitting on all of them again.

EASE: the precision P = (XᵀX + λI)⁻¹ changes by two rank-one terms for each changed user, old row out, new row in:
    P' = P - P U (C⁻¹ + Uᵀ P U)⁻¹ Uᵀ P    with U = [old rows, new rows]ᵀ and C = diag(-1 …, +1 …)
source: Woodbury 1950, "Inverting modified matrices", Memorandum Report 42, Princeton
limits: O(H² k) for k changed users instead of O(H³), so it pays while k is well below H (items); the head of items
        stays as it was fitted. Rounding adds up over many updates: fit anew every night.

Transitions: the counts are a sum over users, so the changed users' old histories are taken out, their new ones added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.linalg as la
import scipy.sparse as sp

from fusionrec.errors import DataError
from training.interactions import Interactions
from training.models.transitions import TransitionsConfig, follow

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class EasePrecision:
    """P of some items, float64 (H, H), symmetric: what EASE's weights are read off."""

    precision: Floats

    @classmethod
    def fit(cls, seen: sp.csr_matrix, l2: float) -> Self:
        """seen: (U, H), 1 where the user ever interacted with the item."""
        gram = (seen.T @ seen).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += l2
        inverse, _ = la.lapack.dpotri(la.cholesky(gram, lower=True, overwrite_a=True), lower=1, overwrite_c=1)
        return cls(np.tril(inverse) + np.tril(inverse, -1).T)

    def update(self, old: sp.csr_matrix, new: sp.csr_matrix) -> None:
        """The changed users' rows before and after, (k, H) each; a new user's old row is empty.

        raises: DataError when the old rows cannot have been among those that were fitted; nothing is changed then
        """
        removed = old[old.getnnz(axis=1) > 0].astype(np.float64)
        left = np.eye(removed.shape[0]) - removed @ np.ascontiguousarray((removed @ self.precision).T)
        if removed.shape[0] and la.eigvalsh(left, subset_by_index=(0, 0))[0] <= 0:  # a gram of no interactions at all
            raise DataError("the old rows are not those that were fitted; fit anew")
        changed = sp.vstack([old, new]).tocsr().astype(np.float64)
        kept = changed.getnnz(axis=1) > 0
        signs = np.repeat([-1.0, 1.0], [old.shape[0], new.shape[0]])[kept]
        rows = changed[kept]
        if not len(signs):
            return
        projected = np.ascontiguousarray((rows @ self.precision).T)  # (H, 2k) = P U
        small = np.diag(signs) + rows @ projected  # C⁻¹ = C
        self.precision -= projected @ la.solve(small, projected.T, assume_a="sym")

    def weights(self) -> Floats:
        """B (H, H) with a zero diagonal, as `models.ease.dense_weights`: row = item of the history."""
        found = self.precision / -self.precision.diagonal()
        np.fill_diagonal(found, 0.0)
        return found


def updated_follow(
    total: sp.csr_matrix, before: Interactions, after: Interactions, config: TransitionsConfig
) -> sp.csr_matrix:
    """`models.transitions.follow` of everybody, from that of everybody before.

    before, after: the changed users' whole histories, as they were counted and as they are now
    """
    changed = sp.csr_matrix(total - follow(before, config) + follow(after, config))
    changed.data[np.abs(changed.data) < 1e-6] = 0.0  # what cancelled but for rounding is no pair any more
    changed.eliminate_zeros()
    return changed
