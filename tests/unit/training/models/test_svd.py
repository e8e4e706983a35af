from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from training.models import svd
from training.models.svd import truncated_svd


@pytest.fixture
def groups() -> sp.csr_matrix:
    """24 items in 6 equal groups, and columns that tell nothing: equal singular values, and many of zero."""
    return sp.csr_matrix(np.eye(6)[np.arange(24) % 6] @ np.eye(6, 20))


def test_asked_again_it_gives_the_same(groups: sp.csr_matrix) -> None:
    first, *others = (truncated_svd(groups, 10) for _ in range(4))
    for other in others:
        for one, two in zip(first, other, strict=True):
            assert_array_equal(one, two)
    assert_allclose(first.left * first.strength @ first.right, groups.toarray(), atol=1e-12)
    assert_allclose(first.strength, [0, 0, 0, 0, 2, 2, 2, 2, 2, 2], atol=1e-12)


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_large_ones_get_the_same_vectors(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = sp.csr_matrix(np.random.default_rng(0).random(shape))
    small = truncated_svd(matrix, 5)
    monkeypatch.setattr(svd, "_SMALL", 1)
    large = truncated_svd(matrix, 5)
    assert_allclose(large.strength, small.strength, rtol=1e-9)
    assert_allclose(large.left * large.strength @ large.right, small.left * small.strength @ small.right, atol=1e-9)
