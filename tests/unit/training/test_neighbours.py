"""What is named as bought together was bought together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.content import rare_terms
from training.models.ease import Ease, EaseConfig
from training.neighbours import strongest_weights
from training.shop import NOW_MS, two_taste_shop


def test_items_that_only_share_words_are_no_complements() -> None:
    """Items 1 and 10 share a rare word and no user: EASE with content lets one argue for the other."""
    documents = [set(), *({"sweet" if item <= 5 else "salty"} for item in range(1, 11))]
    documents[1].add("rare")
    documents[10].add("rare")
    data = replace(two_taste_shop().interactions, content=rare_terms(documents, max_share=0.6))
    ease = Ease(10, EaseConfig(l2=1.0, content=5.0)).fit(data, NOW_MS)
    every, met = strongest_weights(ease, 9), strongest_weights(ease, 9, data)
    assert 10 in every[0][1]
    assert {3, 4, 5} <= set(met[0][1].tolist()) <= {0, 2, 3, 4, 5}
    assert (np.diff(met[1], axis=1) <= 0).all()
