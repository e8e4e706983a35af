"""What slates are worth besides hits: variety, novelty, fairness to the catalogue and to the user's tastes.

slates: int64 (U, K), item indices, best first, 0 = no item. Each function has a worked number.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from training.background import Background
from training.interactions import Interactions, Requests

Slates = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

CUT: Final = 10
OWN_SHARE: Final = 0.01  # of the user's own distribution, mixed into the slate's: no taste is infinitely far


def gini(slates: Slates, n_items: int) -> float:
    """How unequally places in the slates fall on the catalogue: 0 = all items alike, near 1 = one item has them all.

    >>> gini(np.array([[1, 2], [1, 3]]), n_items=4)  # exposures 0, 1, 1, 2
    0.375
    """
    exposures = np.sort(np.bincount(slates[slates > 0], minlength=n_items + 1)[1:])
    if not exposures.sum():
        return 0.0
    return float((2 * np.arange(1, n_items + 1) - n_items - 1) @ exposures / (n_items * exposures.sum()))


def novelty(slates: Slates, n_holders: npt.NDArray[np.int64], n_users: int) -> FloatArray:
    """Mean self-information of the slate's items in bits, (U,): log2((users + 1) / (users who had the item + 1)).

    An item that one of seven users had tells 2 bits, an item that all had tells none.

    source: Zhou et al. 2010, "Solving the apparent diversity-accuracy dilemma", PNAS 107; one added to both counts,
            so that an item that nobody had is finite
    >>> novelty(np.array([[1, 2]]), np.array([0, 1, 7]), n_users=7).tolist()
    [1.0]
    """
    return _mean_of_items(slates, np.log2((n_users + 1) / (n_holders + 1.0)))


def intra_list_diversity(slates: Slates, vectors: sp.csr_matrix) -> FloatArray:
    """1 - cosine, averaged over all pairs of the slate's items, (U,). vectors: unit or zero rows (n_items + 1, F).

    source: Ziegler et al. 2005, "Improving recommendation lists through topic diversification", WWW
    >>> vectors = sp.csr_matrix(np.array([[0, 0], [1, 0], [0, 1], [1, 0]], np.float32))
    >>> [round(value, 4) for value in intra_list_diversity(np.array([[1, 2, 3], [1, 3, 0]]), vectors).tolist()]
    [0.6667, 0.0]
    """
    real = slates > 0
    chosen = sp.csr_matrix(
        (real.ravel().astype(np.float32), (np.repeat(np.arange(len(slates)), slates.shape[1]), slates.ravel())),
        shape=(len(slates), vectors.shape[0]),
    )
    sums = chosen @ vectors  # |a + b + c|² holds every pair twice, and each vector with itself
    own = chosen @ np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    twice_pairs = real.sum(axis=1) * (real.sum(axis=1) - 1)
    alike = np.asarray(sums.multiply(sums).sum(axis=1)).ravel() - own
    return np.where(twice_pairs > 0, 1.0 - alike / np.maximum(twice_pairs, 1), 0.0)


def popularity_lift(slates: Slates, profiles: FloatArray, popularity: FloatArray) -> FloatArray:
    """Popularity of the slate over that of all histories, minus 1, (U,): the mean says how much the model adds to it.

    profiles: mean popularity of the items in each user's history, (U,), nan where there is none: those get nan. All
    users are divided by the mean of the profiles, since single profiles of rare items would blow the mean up.

    source: Abdollahpouri et al. 2019, "The unfairness of popularity bias in recommendation", RMSE (their ΔGAP)
    >>> popularity_lift(np.array([[1, 2], [1, 1]]), np.array([0.2, 0.3]), np.array([0.0, 0.25, 0.5])).tolist()
    [0.5, 0.0]
    """
    known = ~np.isnan(profiles)
    usual = float(profiles[known].mean()) if known.any() else np.nan
    return np.where(known, _mean_of_items(slates, popularity) / usual - 1.0, np.nan)


def miscalibration(slates: Slates, histories: sp.csr_matrix, categories: npt.NDArray[np.int64]) -> FloatArray:
    """KL divergence of the slate's categories from the history's in nats, (U,), 0 = the same shares; nan: no history.

    histories: (U, n_categories + 1), how often each category stands in the history; column 0 (unknown) is not used.
    KL(p ‖ q) = Σ p log(p / q), p from the history, q = 0.99 · slate + 0.01 · p.

    source: Steck 2018, "Calibrated recommendations", RecSys
    >>> half = sp.csr_matrix(np.array([[0, 3, 3]]))
    >>> categories = np.array([0, 1, 2])
    >>> round(float(miscalibration(np.array([[1, 1]]), half, categories)[0]), 4)  # ½ log(.5/.995) + ½ log(.5/.005)
    1.9585
    >>> float(miscalibration(np.array([[1, 2]]), half, categories)[0])
    0.0
    """
    n_columns = histories.shape[1]
    codes = np.where(slates > 0, categories[slates], 0)
    rows = np.repeat(np.arange(len(slates)), slates.shape[1])
    shown = sp.csr_matrix((np.ones(codes.size), (rows, codes.ravel())), shape=(len(slates), n_columns))
    wanted = _shares(histories).tocoo()
    given = np.asarray(_shares(shown).tocsr()[wanted.row, wanted.col]).ravel()
    mixed = (1 - OWN_SHARE) * given + OWN_SHARE * wanted.data
    divergence = np.bincount(wanted.row, wanted.data * np.log(wanted.data / mixed), minlength=len(slates))
    known = np.bincount(wanted.row, minlength=len(slates)) > 0
    return np.where(known, np.maximum(divergence, 0.0) + 0.0, np.nan)


class BeyondAccuracy:
    """The measures of this module for one set of requests; what concerns the histories is worked out once."""

    def __init__(self, background: Background, data: Interactions, requests: Requests) -> None:
        self.background = background
        self.popularity = background.popularity()
        histories = _histories(data, requests)
        counts = np.asarray(histories.sum(axis=1)).ravel()
        with np.errstate(invalid="ignore"):
            self.profiles = (histories @ self.popularity) / np.where(counts > 0, counts, np.nan)
        self.tastes: sp.csr_matrix | None = None
        if background.categories is not None:
            codes = background.categories
            by_category = sp.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)))
            self.tastes = sp.csr_matrix(histories @ by_category)

    def per_user(self, slates: Slates, k: int = CUT) -> dict[str, FloatArray]:
        """Name, such as `novelty@10`, → (U,); nan where a user has no history to compare with."""
        first, background = slates[:, :k], self.background
        table = {
            f"diversity@{k}": intra_list_diversity(first, background.vectors),
            f"novelty@{k}": novelty(first, background.n_holders, background.n_users),
            f"popularity_lift@{k}": popularity_lift(first, self.profiles, self.popularity),
        }
        if self.tastes is not None and background.categories is not None:
            table[f"miscalibration@{k}"] = miscalibration(first, self.tastes, background.categories)
        return table


def _histories(data: Interactions, requests: Requests) -> sp.csr_matrix:
    """(R, I + 1): how often each item stands before the request."""
    starts = data.offsets[requests.users]
    lengths = requests.ends - starts
    places = np.arange(lengths.sum()) + np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return sp.csr_matrix((np.ones(len(rows)), (rows, data.items[places])), shape=(len(lengths), data.n_items + 1))


def _shares(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Rows that sum to 1 over the known categories; a row without any stays zero."""
    known = sp.csr_matrix(counts, dtype=np.float64).copy()
    known.data[known.indices == 0] = 0.0
    known.eliminate_zeros()
    totals = np.asarray(known.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags(1.0 / np.where(totals > 0, totals, 1.0)) @ known)


def _mean_of_items(slates: Slates, values: FloatArray) -> FloatArray:
    real = slates > 0
    return np.asarray((values[slates] * real).sum(axis=1) / np.maximum(real.sum(axis=1), 1))
