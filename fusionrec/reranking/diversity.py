"""Spread over kinds of items: greedy maximal marginal relevance. Carbonell & Goldstein 1998, SIGIR."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def spread(
    scores: npt.NDArray[np.float32], kinds: npt.NDArray[np.int32], weight: float, n_results: int
) -> npt.NDArray[np.int64]:
    """Positions of the chosen candidates, in slate order.

    scores:  float32 (K,), best first
    kinds:   int32 (K, M), codes of what an item is: its category, or its attributes; 0 = none, which repeats nothing
    weight:  0 keeps the order of the scores; at 1 only the repetition of kinds counts
    returns: int64 (min(K, n_results),); each place takes the candidate with the greatest
             (1 - weight) · relevance - weight · repetition, relevance being the score scaled to 0..1 and
             repetition n / (n + 1) for n earlier items of its kind, the mean over its kinds
    """
    n_results = min(n_results, len(scores))
    if weight == 0 or n_results == 0:
        return np.arange(n_results)
    width = float(scores[0] - scores[-1])
    relevance = (scores - scores[-1]) / width if width > 0 else np.zeros(len(scores))
    repeats = np.zeros(kinds.shape)
    n_kinds = np.maximum((kinds > 0).sum(axis=1), 1)
    chosen = np.zeros(n_results, np.int64)
    value = (1 - weight) * relevance
    for place in range(n_results):
        repetition = (repeats / (repeats + 1)).sum(axis=1) / n_kinds
        best = int(np.argmax(value - weight * repetition))  # the first of equals: the better scored
        chosen[place] = best
        value[best] = -np.inf
        for kind in set(kinds[best].tolist()) - {0}:
            repeats[kinds == kind] += 1
    return chosen
