"""The strongest singular vectors of a sparse matrix, the same whenever they are asked for.

Where singular values are equal or zero, as with a few groups of items that are alike, ARPACK starts again from vectors
that depend on what the process computed before. So what is small on one side is decomposed as a whole, by LAPACK.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.linalg as la
import scipy.sparse as sp
from scipy.sparse.linalg import svds

_SMALL: Final = 256  # rows or columns: a few seconds for 100,000 of the others

Floats = npt.NDArray[np.float64]


class Singular(NamedTuple):
    """left (M, K), strength (K,), rising, right (K, N); the matrix is nearly left · diag(strength) · right."""

    left: Floats
    strength: Floats
    right: Floats


def truncated_svd(matrix: sp.csr_matrix, n_factors: int) -> Singular:
    """matrix: (M, N); n_factors: less than M and N. The sign of a pair of vectors is not fixed."""
    exact = matrix.astype(np.float64)
    if min(exact.shape) > _SMALL:
        found: tuple[Floats, Floats, Floats] = svds(exact, k=n_factors, random_state=0)  # type: ignore[assignment]
        return Singular(*found)
    left, strength, right = la.svd(exact.toarray(), full_matrices=False)
    strongest = np.arange(n_factors)[::-1]
    return Singular(left[:, strongest], strength[strongest], right[strongest])
