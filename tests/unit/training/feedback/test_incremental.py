"""An update for some users equals a fit on all of them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from fusionrec.errors import DataError
from fusionrec.feature_spec import DAY_MS
from training.feedback import incremental
from training.feedback.incremental import EasePrecision, updated_follow
from training.interactions import Interactions
from training.models.ease import dense_weights
from training.models.transitions import TransitionsConfig, follow

N_USERS, N_ITEMS, L2 = 70, 31, 5.0  # never square


@pytest.fixture
def seen() -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    return sp.csr_matrix((rng.random((N_USERS, N_ITEMS)) < 0.2).astype(np.float32))


@pytest.mark.parametrize("n_changed", [1, 7, 40])
def test_ease_after_an_update_is_ease_fitted_anew(seen: sp.csr_matrix, n_changed: int) -> None:
    rng = np.random.default_rng(n_changed)
    after = seen.toarray()
    users = rng.choice(N_USERS, n_changed, replace=False)
    after[users] = np.maximum(after[users], rng.random((n_changed, N_ITEMS)) < 0.1)  # they looked at more
    newcomers = (rng.random((3, N_ITEMS)) < 0.2).astype(np.float32)
    model = EasePrecision.fit(seen, L2)
    old = sp.vstack([seen[users], sp.csr_matrix((3, N_ITEMS), dtype=np.float32)]).tocsr()
    model.update(old, sp.csr_matrix(np.vstack([after[users], newcomers])))
    expected = dense_weights(sp.csr_matrix(np.vstack([after, newcomers])), L2).numpy()
    assert_allclose(model.weights(), expected, atol=2e-6)


def test_the_fit_itself_is_ease(seen: sp.csr_matrix) -> None:
    assert_allclose(EasePrecision.fit(seen, L2).weights(), dense_weights(seen, L2).numpy(), atol=2e-6)


def test_with_few_users_the_fit_is_made_on_their_side(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    seen = sp.csr_matrix((rng.random((9, 400)) < 0.02).astype(np.float32))
    assert EasePrecision.fit_cost(seen) == 9**3 + 8 * seen.nnz * 409 < 400**3
    sizes = []
    inverse = incremental._inverse_of_gram

    def watched(matrix: sp.csr_matrix, l2: float) -> np.ndarray:
        sizes.append(matrix.shape[1])
        return inverse(matrix, l2)

    monkeypatch.setattr(incremental, "_inverse_of_gram", watched)
    found = EasePrecision.fit(seen, L2)
    assert sizes == [9]
    gram = (seen.T @ seen).toarray().astype(np.float64) + L2 * np.eye(400)
    assert_allclose(found.precision, np.linalg.inv(gram), atol=1e-12)
    assert EasePrecision.fit_cost(sp.csr_matrix((9000, 400), dtype=np.float32)) == 400**3


def test_forgetting_a_user_is_as_if_it_had_never_been(seen: sp.csr_matrix) -> None:
    model = EasePrecision.fit(seen, L2)
    model.update(seen[:5], sp.csr_matrix((5, N_ITEMS), dtype=np.float32))
    assert_allclose(model.weights(), EasePrecision.fit(seen[5:], L2).weights(), atol=1e-9)


def test_rows_that_were_never_fitted_are_refused(seen: sp.csr_matrix) -> None:
    strange = sp.csr_matrix(np.ones((30, N_ITEMS), np.float32))
    model = EasePrecision.fit(seen, 0.1)
    before = model.weights()
    with pytest.raises(DataError, match="fit anew"):
        model.update(strange, strange[:0])
    assert_allclose(model.weights(), before, atol=0)


def test_many_small_updates_drift_little(seen: sp.csr_matrix) -> None:
    model = EasePrecision.fit(seen[:10], L2)
    for user in range(10, N_USERS):
        model.update(seen[:0], seen[user])
    assert_allclose(model.weights(), EasePrecision.fit(seen, L2).weights(), atol=1e-9)


def histories(lengths: list[int], seed: int) -> Interactions:
    rng = np.random.default_rng(seed)
    total = sum(lengths)
    return Interactions(
        n_items=N_ITEMS,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        items=rng.integers(1, N_ITEMS + 1, total),
        events=rng.integers(1, 5, total),
        sent_at=DAY_MS * np.arange(total),
        sessions=np.zeros(total, np.int64),
    )


def part(data: Interactions, users: list[int], without_last: int = 0) -> Interactions:
    """Some users' histories, each without its last events."""
    spans = [(int(data.offsets[u]), int(data.offsets[u + 1]) - without_last) for u in users]
    chosen = np.concatenate([np.arange(first, last) for first, last in spans])
    lengths = [last - first for first, last in spans]
    return Interactions(
        N_ITEMS, np.concatenate([[0], np.cumsum(lengths)]), data.items[chosen], data.events[chosen],
        data.sent_at[chosen], data.sessions[chosen],
    )  # fmt: skip


def test_transitions_after_an_update_are_those_counted_anew() -> None:
    config = TransitionsConfig(window=5)
    after = histories([9, 12, 7, 15, 4, 8], seed=4)
    changed, same = [1, 3, 4], [0, 2, 5]
    before_all = follow(part(after, same), config) + follow(part(after, changed, without_last=3), config)
    found = updated_follow(
        sp.csr_matrix(before_all), part(after, changed, without_last=3), part(after, changed), config
    )
    expected = follow(after, config)
    assert_allclose(found.toarray(), expected.toarray(), atol=1e-5)
    assert found.nnz == expected.nnz
    assert abs(found - sp.csr_matrix(before_all)).sum() > 1  # the last events made a difference
