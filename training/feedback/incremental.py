"""EASE and transitions brought up to date for the users who did something, without fitting on all of them again.

EASE: the precision P = (XᵀX + λI)⁻¹ changes by two rank-one terms for each changed user, old row out, new row in:
    P' = P - P U (C⁻¹ + Uᵀ P U)⁻¹ Uᵀ P    with U = [old rows, new rows]ᵀ and C = diag(-1 …, +1 …)
source: Woodbury 1950, "Inverting modified matrices", Memorandum Report 42, Princeton
limits: O(H² k) for k changed users (H items), so it pays while that is well below what a fit costs, which is O(H³), or
        O(U³) and some sparse products where there are fewer users U; else the precision is fitted anew. Rounding adds
        up over many updates: some columns of P are held against XᵀX + λI after each, and P is fitted anew when they
        are off. The head takes in items that nobody had had, for whom P is 1 / λ, while there is room; which items are
        in a full head is for the next training to say.

Transitions: the counts are a sum over users, so the changed users' old histories are taken out, their new ones added.

`EaseUpkeep` and `TransitionCounts` go from one state of all histories to the next, the same users in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import scipy.linalg as la
import scipy.sparse as sp
import torch

from fusionrec.errors import DataError
from training.interactions import IntArray, Interactions
from training.models.ease import Ease, EaseConfig, frequent_items, keep_dense, seen_matrix
from training.models.transitions import Transitions, TransitionsConfig, follow, successions

Floats = npt.NDArray[np.float64]
_PAYS: Final = 0.8  # of a fit's cost, up to which an update is made
_SPARSE: Final = 8.0  # what an operation of a sparse product costs, counted in those of a dense one
_TOLERANCE: Final = 1e-6  # of P (XᵀX + λI) = I
_N_CHECKED: Final = 8  # columns of P


@dataclass(slots=True)
class EasePrecision:
    """P of some items, float64 (H, H), symmetric but for rounding: what EASE's weights are read off."""

    precision: Floats

    @classmethod
    def fit(cls, seen: sp.csr_matrix, l2: float) -> Self:
        """seen: (U, H), 1 where the user ever interacted with the item.

        With few users by Woodbury's identity for all of them: P = (I - Xᵀ (X Xᵀ + λI)⁻¹ X) / λ
        """
        if cls.fit_cost(seen) >= float(seen.shape[1]) ** 3:
            return cls(_inverse_of_gram(seen, l2))
        exact = seen.astype(np.float64)
        precision = exact.T @ np.ascontiguousarray((exact.T @ _inverse_of_gram(exact.T.tocsr(), l2)).T)
        precision /= -l2
        precision[np.diag_indices_from(precision)] += 1.0 / l2
        return cls(precision)

    @staticmethod
    def fit_cost(seen: sp.csr_matrix) -> float:
        """In operations, on the side of the items or of the users, whichever is less."""
        n_users, n_items = (float(size) for size in seen.shape)
        return min(n_items**3, n_users**3 + _SPARSE * seen.nnz * (n_users + n_items))

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

    def gap(self, seen: sp.csr_matrix, l2: float, n_columns: int = _N_CHECKED) -> float:
        """The largest entry of (XᵀX + λI) P - I in some columns: 0 but for rounding, when P is what `seen` says."""
        columns = np.random.default_rng(0).permutation(len(self.precision))[:n_columns]
        chosen = self.precision[:, columns]
        found = seen.T @ (seen @ chosen) + l2 * chosen
        found[columns, np.arange(len(columns))] -= 1.0
        return float(np.abs(found).max(initial=0.0))

    def weights(self) -> Floats:
        """B (H, H) with a zero diagonal, as `models.ease.dense_weights`: row = item of the history."""
        found = self.precision / -self.precision.diagonal()
        np.fill_diagonal(found, 0.0)
        return found


def _inverse_of_gram(seen: sp.csr_matrix, l2: float) -> Floats:
    """(XᵀX + λI)⁻¹, (H, H), for X (U, H)."""
    gram = (seen.T @ seen).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += l2
    inverse, _ = la.lapack.dpotri(la.cholesky(gram, lower=True, overwrite_a=True), lower=1, overwrite_c=1)
    whole: Floats = np.tril(inverse) + np.tril(inverse, -1).T
    return whole


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


@dataclass(slots=True)
class EaseUpkeep:
    """head: int64 (H,), the items that the precision is about, in the order of the vocabulary."""

    config: EaseConfig
    head: IntArray
    model: EasePrecision

    @classmethod
    def fit(cls, data: Interactions, config: EaseConfig) -> Self:
        seen = seen_matrix(data)
        head = frequent_items(seen, config.max_items)
        return cls(config, head, EasePrecision.fit(seen[:, head], config.l2))

    def advance(self, before: Interactions, after: Interactions) -> bool:
        """From these histories to those; False when it was fitted anew: that was cheaper, or rounding had added up."""
        old, new = seen_matrix(before), seen_matrix(after)
        changed = np.flatnonzero(sp.csr_matrix(old - new).getnnz(axis=1))
        self._take_in(new)
        wanted = new[:, self.head]
        few = 4.0 * len(changed) * len(self.head) ** 2 < _PAYS * EasePrecision.fit_cost(wanted)
        if (
            few
            and self._updated(old[changed][:, self.head], wanted[changed])
            and self.model.gap(wanted, self.config.l2) <= _TOLERANCE
        ):
            return True
        self.model = EasePrecision.fit(wanted, self.config.l2)
        return False

    def _updated(self, old: sp.csr_matrix, new: sp.csr_matrix) -> bool:
        try:
            self.model.update(old, new)
        except DataError:  # the precision is not of these histories
            return False
        return True

    def _take_in(self, seen: sp.csr_matrix) -> None:
        """Items that nobody had had, while there is room."""
        added = np.setdiff1d(frequent_items(seen, seen.shape[1]), self.head)
        n_users = np.asarray(seen.sum(axis=0)).ravel()
        room = max(self.config.max_items - len(self.head), 0)
        added = added[np.argsort(-n_users[added], kind="stable")][:room]
        if not len(added):
            return
        head = np.sort(np.concatenate([self.head, added]))
        precision = np.zeros((len(head), len(head)))
        precision[np.diag_indices_from(precision)] = 1.0 / self.config.l2
        there = np.searchsorted(head, self.head)
        precision[np.ix_(there, there)] = self.model.precision
        self.head, self.model = head, EasePrecision(precision)

    def part(self, n_items: int) -> Ease:
        part = Ease(n_items, self.config)
        keep_dense(part, self.head, torch.from_numpy(self.model.weights()).float(), self.config.n_neighbours)
        return part.eval()


@dataclass(slots=True)
class TransitionCounts:
    """`models.transitions.follow` and `successions` of everybody."""

    config: TransitionsConfig
    followers: sp.csr_matrix
    times: sp.csr_matrix

    @classmethod
    def fit(cls, data: Interactions, config: TransitionsConfig) -> Self:
        return cls(config, follow(data, config), successions(data))

    def advance(self, before: Interactions, after: Interactions) -> None:
        """From these histories to those."""
        changed = changed_users(before, after)
        old, new = only(before, changed), only(after, changed)
        self.followers = updated_follow(self.followers, old, new, self.config)
        self.times = sp.csr_matrix(self.times - successions(old) + successions(new))
        self.times.eliminate_zeros()

    def part(self, n_items: int, content: sp.csr_matrix | None) -> Transitions:
        return Transitions(n_items, self.config).settle(self.followers, self.times, content).eval()


def changed_users(before: Interactions, after: Interactions) -> npt.NDArray[np.bool_]:
    """bool (U,): other items or events, or in another order. Both have the same users."""
    lengths = np.diff(before.offsets)
    same = lengths == np.diff(after.offsets)
    old, new = np.repeat(same, lengths), np.repeat(same, np.diff(after.offsets))
    differs = (before.items[old] != after.items[new]) | (before.events[old] != after.events[new])
    return np.asarray(~same | (np.bincount(before.users[old], differs, before.n_users) > 0))


def only(data: Interactions, users: npt.NDArray[np.bool_]) -> Interactions:
    """The others' histories are empty. users: bool (U,)"""
    return data.prefix(np.where(users, data.offsets[1:], data.offsets[:-1]))
