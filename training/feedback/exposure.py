"""How likely an item was examined, given its place: estimated from the log where the log allows it.

Model: P(touched | item i, position k) = relevance_i · (1 + k) ** -eta. Items that were shown at several positions tell
eta apart from their relevance: given all touches of an item, how they spread over its positions is multinomial with
shares n_ik · (1 + k) ** -eta, whatever its relevance. eta is where that likelihood is greatest.

source: Agarwal et al. 2019, "Estimating Position Bias without Intrusive Interventions", WSDM, arXiv:1812.05161 (the
        same item at different positions as a harvested intervention); Hausman, Hall & Griliches 1984, Econometrica 52
        (the item's effect cancels by conditioning on its total)
limits: an item's relevance is taken for the same at all its positions. Where a ranker puts it higher for those who like
        it more, eta comes out too high; a log with some randomised slates has no such bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import minimize_scalar

MAX_ETA: Final = 4.0

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exposure:
    """eta, and whether it was estimated: from how many touches, give or take how much (one standard error)."""

    eta: float
    estimated: bool
    n_touches: int
    standard_error: float


def estimate_eta(items: Ints, positions: Ints, touched: npt.NDArray[np.bool_], min_touches: int) -> Exposure | None:
    """None when fewer than `min_touches` touches are of items that were shown at more than one position.

    items, positions, touched: (N,), one row for each time that an item was rendered
    """
    cells, cell_of = np.unique(np.stack([items, positions]), axis=1, return_inverse=True)
    n_shown = np.bincount(cell_of, minlength=cells.shape[1]).astype(np.float64)
    n_touched = np.bincount(cell_of, touched.astype(np.float64), cells.shape[1]).astype(np.float64)
    owner = np.unique(cells[0], return_inverse=True)[1]
    several = np.bincount(owner)[owner] > 1
    owner = np.unique(owner[several], return_inverse=True)[1]
    n_shown, n_touched = n_shown[several], n_touched[several]
    log_place = np.log1p(cells[1][several].astype(np.float64))
    n_touches = int(n_touched.sum())
    if n_touches < max(min_touches, 1):
        return None

    def loss(eta: float) -> float:
        return _negative_log_likelihood(eta, owner, n_shown, n_touched, log_place)

    found = minimize_scalar(loss, bounds=(0.0, MAX_ETA), method="bounded")
    step = 1e-2  # for the curvature, whose inverse is the variance of eta
    curvature = (loss(found.x + step) - 2 * found.fun + loss(found.x - step)) / step**2
    error = float(1 / np.sqrt(curvature)) if curvature > 0 else float("inf")
    return Exposure(round(float(found.x), 4), True, n_touches, round(error, 4))


def _negative_log_likelihood(
    eta: float, owner: npt.NDArray[np.intp], n_shown: Floats, n_touched: Floats, log_place: Floats
) -> float:
    log_share = np.log(n_shown) - eta * log_place
    total = np.bincount(owner, weights=np.exp(log_share))
    return float(-(n_touched * (log_share - np.log(total)[owner])).sum())


def exposure_of(table: pa.Table, eta: float, max_weight: float, min_touches: int) -> tuple[pa.Table, Exposure]:
    """The labels with their columns exposure and weight (`labels.py` says what they mean)."""
    positions = table["position"].to_numpy(zero_copy_only=False).astype(np.float64)  # null becomes NaN
    labels = table["label"].to_numpy(zero_copy_only=False).astype(np.float64)
    rendered = table["was_rendered"].to_numpy(zero_copy_only=False).astype(bool) & ~np.isnan(positions)
    numbers = np.unique(np.array(table["item_id"].to_pylist(), dtype=object).astype(str), return_inverse=True)[1]
    estimated = estimate_eta(numbers[rendered], positions[rendered].astype(np.int64), labels[rendered] > 0, min_touches)
    exposure = estimated or Exposure(eta, False, int((labels[rendered] > 0).sum()), 0.0)
    examined = np.where(np.isnan(positions), 1.0, (1.0 + np.nan_to_num(positions)) ** -exposure.eta)
    weights = np.where(labels > 0, np.minimum(1.0 / examined, max_weight), 1.0)
    for name, values in (("exposure", examined), ("weight", weights)):
        table = table.append_column(name, pa.array(values, pa.float32()))
    return table, exposure
