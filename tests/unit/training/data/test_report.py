"""The figures of the data report, by their worked examples."""

from __future__ import annotations

import doctest

import numpy as np

from training.data import report


def test_worked_examples() -> None:
    assert doctest.testmod(report) == (0, 2)


def test_inequality_grows_with_concentration() -> None:
    flat, steep = np.ones(100), 1.0 / np.arange(1, 101)
    assert report.gini(flat) == 0 < report.gini(steep) < 1
    assert report.top_share(flat, 0.1) == 0.1 < report.top_share(steep, 0.1)
    assert report.top_share(np.array([3.0, 1.0]), 0.01) == 0.75  # at least one item
