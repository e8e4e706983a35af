"""How good the text model is on texts that it never saw, with intervals; and the same of any other set of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from training.text.corpus import Rated, labels
from training.text.model import f1, macro_f1

N_RESAMPLES: Final = 1000

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """The chance that a positive scores above another, ties counted half.

    >>> auc(np.array([0.9, 0.4, 0.4, 0.1]), np.array([True, True, False, False]))
    0.875
    """
    ranks, n = rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def measured(texts: Sequence[Rated], predicted: Ints, negativity: Floats) -> dict[str, Any]:
    """Accuracy, macro-F1, F1 of each class, AUC of negative against the rest, each with a 95 % interval.

    The intervals are from resampling whole reviews, since sentences of one review are alike.
    """
    truth = labels(tuple(texts))
    metrics: dict[str, Callable[[Ints], float]] = {
        "accuracy": lambda rows: float((predicted[rows] == truth[rows]).mean()),
        "macro_f1": lambda rows: macro_f1(predicted[rows], truth[rows]),
        "f1_negative": lambda rows: f1(predicted[rows], truth[rows], 0),
        "f1_neutral": lambda rows: f1(predicted[rows], truth[rows], 1),
        "f1_positive": lambda rows: f1(predicted[rows], truth[rows], 2),
        "auc_negative": lambda rows: auc(negativity[rows], truth[rows] == 0),
    }
    everything = np.arange(len(truth))
    samples = list(resampled([text.review for text in texts], N_RESAMPLES))
    return {name: _with_interval(metric, everything, samples) for name, metric in metrics.items()}


def difference(texts: Sequence[Rated], ours: Ints, theirs: Ints) -> dict[str, Any]:
    """Macro-F1 of ours less that of theirs, on the same resampled reviews."""
    truth = labels(tuple(texts))
    samples = list(resampled([text.review for text in texts], N_RESAMPLES))
    return _with_interval(
        lambda rows: macro_f1(ours[rows], truth[rows]) - macro_f1(theirs[rows], truth[rows]),
        np.arange(len(truth)),
        samples,
    )


def resampled(groups: Sequence[str], n_resamples: int, seed: int = 0) -> list[Ints]:
    """Rows of groups drawn with replacement, n_resamples times."""
    _, numbers = np.unique(np.array(groups), return_inverse=True)
    members = [np.flatnonzero(numbers == number) for number in range(int(numbers.max()) + 1)]
    rng = np.random.default_rng(seed)
    return [
        np.concatenate([members[number] for number in rng.integers(0, len(members), len(members))])
        for _ in range(n_resamples)
    ]


def _with_interval(metric: Callable[[Ints], float], rows: Ints, samples: Sequence[Ints]) -> dict[str, Any]:
    low, high = np.percentile([metric(sample) for sample in samples], [2.5, 97.5]).tolist()
    return {"value": round(metric(rows), 4), "low": round(low, 4), "high": round(high, 4)}
