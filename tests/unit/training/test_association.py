"""Score and outcome over the catalogue, against plain computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.association import auc, correlation


@pytest.fixture(scope="module")
def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 6, (5, 40), generator=generator).float()  # many ties
    return scores, torch.rand(5, 40, generator=generator) < 0.8, torch.rand(5, 40, generator=generator) < 0.2


def test_auc_counts_pairs_and_half_of_ties(rows: tuple[torch.Tensor, ...]) -> None:
    scores, allowed, relevant = rows
    for row, found in enumerate(auc(*rows).tolist()):
        wanted = scores[row][allowed[row] & relevant[row]].numpy()
        others = scores[row][allowed[row] & ~relevant[row]].numpy()
        above = (wanted[:, None] > others).mean() + (wanted[:, None] == others).mean() / 2
        assert found == pytest.approx(above)


def test_the_number_of_pairs_compared_at_a_time_changes_nothing(
    rows: tuple[torch.Tensor, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = auc(*rows)
    monkeypatch.setattr("training.association._PAIRS", 3)
    assert torch.equal(auc(*rows), whole)


def test_correlation_is_pearsons(rows: tuple[torch.Tensor, ...]) -> None:
    scores, allowed, relevant = rows
    for row, found in enumerate(correlation(*rows).tolist()):
        kept = allowed[row]
        pearson = np.corrcoef(scores[row][kept].numpy(), relevant[row][kept].numpy().astype(float))[0, 1]
        assert found == pytest.approx(pearson, abs=1e-6)


def test_an_item_without_a_score_stands_last() -> None:
    scores = torch.tensor([[-torch.inf, -torch.inf, 1.0, 2.0]])
    allowed, last = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[False, False, False, True]])
    assert auc(scores, allowed, last).item() == 1.0
    assert auc(scores, allowed, torch.tensor([[True, False, False, False]])).item() == pytest.approx(1 / 6)
    assert correlation(scores, allowed, last).item() == pytest.approx(np.corrcoef([1, 1, 1, 2], [0, 0, 0, 1])[0, 1])


def test_where_nothing_can_be_told_it_is_chance() -> None:
    scores, allowed = torch.tensor([[1.0, 2.0]]), torch.tensor([[True, False]])
    barred = torch.tensor([[False, True]])
    assert auc(scores, allowed, barred).item() == 0.5
    assert correlation(scores, allowed, barred).item() == 0.0
    assert correlation(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), barred).item() == 0.0


def test_what_may_not_be_shown_tells_nothing() -> None:
    scores = torch.tensor([[-9.0, -torch.inf, 1.0, 2.0]])
    allowed, last = torch.tensor([[False, True, True, True]]), torch.tensor([[False, False, False, True]])
    assert correlation(scores, allowed, last).item() == pytest.approx(np.corrcoef([1, 1, 2], [0, 0, 1])[0, 1])
