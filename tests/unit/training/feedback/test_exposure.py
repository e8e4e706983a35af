from __future__ import annotations

import numpy as np
import pytest

from training.feedback.exposure import estimate_eta


def shown(eta: float, n: int = 60_000, seed: int = 0):
    """Better items tend to stand higher, as a ranker puts them; a plain click rate by place takes that for bias."""
    rng = np.random.default_rng(seed)
    items = rng.integers(0, 30, n)
    relevance = np.linspace(0.05, 0.6, 30)
    positions = np.clip(np.round(8 - 10 * relevance[items] + rng.normal(0, 2, n)), 0, 11).astype(np.int64)
    touched = rng.random(n) < relevance[items] * (1.0 + positions) ** -eta
    return items, positions, touched


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 1.7])
def test_the_true_position_bias_is_found_though_better_items_stand_higher(eta: float) -> None:
    found = estimate_eta(*shown(eta), min_touches=100)
    assert found is not None
    assert abs(found.eta - eta) < max(4 * found.standard_error, 0.02)
    assert found.standard_error < 0.1


def test_the_plain_click_rate_would_be_wrong() -> None:
    """The trap that the estimate avoids: without position bias the rate still falls with the place."""
    _, positions, touched = shown(0.0)
    assert touched[positions == 0].mean() > 1.5 * touched[positions == 8].mean()


def test_too_few_touches_give_no_estimate() -> None:
    items, positions, touched = shown(1.0, n=500)
    assert estimate_eta(items, positions, touched, min_touches=10_000) is None
    assert estimate_eta(items[:0], positions[:0], touched[:0], min_touches=0) is None


def test_items_that_were_always_at_one_place_say_nothing() -> None:
    items, touched = np.arange(400) % 4, np.ones(400, bool)
    assert estimate_eta(items, items, touched, min_touches=1) is None
