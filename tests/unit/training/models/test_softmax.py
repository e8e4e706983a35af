"""Log-sum-exp over the catalogue and over a sample of it, and contrast: against plain formulas and worked numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from training.loop import LoopConfig
from training.models.attention import Attention, AttentionConfig
from training.models.softmax import apart, catalogue_logsumexp, sampled_logsumexp
from training.models.windows import WindowBatch, Windows, WindowsConfig
from training.shop import NOW_MS, two_taste_shop

SHARES = torch.tensor([0.4, 0.25, 0.15, 0.1, 0.07, 0.03])
WEIGHTS = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])  # exp of the logits of a query of zeros: 21 in all


def plain(query: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    return torch.logsumexp(query @ table.T + bias, dim=1)


def random(*shapes: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    make = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=make).requires_grad_() for shape in shapes]


class TestCatalogue:
    def test_it_has_the_value_and_the_gradients_of_the_plain_one(self) -> None:
        query, table, bias = random((5, 4), (9, 4), (9,))
        gradients = torch.autograd.grad((plain(query, table, bias) * torch.arange(5.0)).sum(), (query, table, bias))
        ours = catalogue_logsumexp(query, table, bias)
        assert_allclose(ours.detach(), plain(query, table, bias).detach(), rtol=1e-5)
        found = torch.autograd.grad((ours * torch.arange(5.0)).sum(), (query, table, bias))
        for mine, expected in zip(found, gradients, strict=True):
            assert_allclose(mine, expected, rtol=1e-4, atol=1e-5)

    def test_of_zeros_it_is_the_logarithm_of_the_number_of_items(self) -> None:
        assert_allclose(
            catalogue_logsumexp(torch.zeros(2, 3), torch.zeros(8, 3), torch.zeros(8)), math.log(8), rtol=1e-6
        )

    @pytest.mark.parametrize("shift", [-1000.0, 1000.0])
    def test_logits_whose_exponentials_leave_the_range_do_no_harm(self, shift: float) -> None:
        query, table, bias = random((5, 4), (9, 4), (9,))
        found = catalogue_logsumexp(query, table, bias + shift)
        assert_allclose(found.detach(), plain(query, table, bias).detach() + shift, rtol=1e-6)
        assert torch.isfinite(torch.autograd.grad(found.sum(), query)[0]).all()


class TestSample:
    @pytest.mark.parametrize(("n_targets", "n_negatives"), [(1, 1), (4, 3), (9, 2), (2, 6), (2, 30)])
    def test_its_sum_is_on_average_that_of_the_catalogue(self, n_targets: int, n_negatives: int) -> None:
        """Targets as often as their shares say; the second query is not of zeros, so its sum is another."""
        torch.manual_seed(n_targets)
        query, table = torch.tensor([[0.0, 0.0], [0.7, -0.4]]), torch.randn(6, 2)
        bias, n_draws = WEIGHTS.log(), 2500
        targets = torch.multinomial(SHARES, n_draws * n_targets, replacement=True).reshape(n_draws, n_targets, 1) + 1
        sums = torch.stack(
            [sampled_logsumexp(query, table, bias, chosen, SHARES, n_negatives).exp() for chosen in targets]
        )
        error = sums.std(dim=0) / n_draws**0.5
        expected = plain(query, table, bias).exp()
        assert_allclose(expected[0], 21.0, rtol=1e-6)
        assert (error < 0.05 * expected).all(), "it would not tell"
        assert ((sums.mean(dim=0) - expected).abs() <= 4 * error + 1e-4 * expected).all()

    @pytest.mark.parametrize("n_negatives", [1, 5])
    def test_each_item_is_weighted_by_how_likely_it_was_to_be_there(self, n_negatives: int) -> None:
        """All items are targets, so the sample is the catalogue; missed = not a target and not drawn."""
        shares = SHARES.double().numpy()
        likely = 1.0 - (1.0 - shares) ** 6 * (1.0 - 1.0 / 6.0) ** n_negatives
        found = sampled_logsumexp(
            torch.zeros(1, 2),
            torch.zeros(6, 2),
            WEIGHTS.log(),
            torch.tensor([[1, 2, 3], [4, 5, 6]]),
            SHARES,
            n_negatives,
        )
        assert_allclose(found, np.log((WEIGHTS.numpy() / likely).sum()), rtol=1e-5)

    def test_an_item_that_is_aimed_at_twice_or_drawn_besides_counts_once(self) -> None:
        query, table, bias = (tensor.detach() for tensor in random((2, 3), (6, 3), (6,)))
        once, twice = torch.tensor([[1, 2, 3], [4, 5, 6], [1, 2, 3]]), torch.tensor([[1, 2, 3], [4, 5, 6], [6, 6, 6]])
        found = [sampled_logsumexp(query, table, bias, targets, SHARES, 4) for targets in (once, twice)]
        assert_allclose(found[0], found[1], rtol=1e-6)

    def test_places_without_a_target_are_none(self) -> None:
        query, table, bias = (tensor.detach() for tensor in random((2, 3), (6, 3), (6,)))
        full, filled = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 0, 0]])
        found = [sampled_logsumexp(query, table, bias, targets, SHARES, 4) for targets in (full, filled)]
        assert_allclose(found[0], found[1], rtol=1e-6)

    def test_where_far_more_are_drawn_than_there_are_it_is_the_catalogue(self) -> None:
        query, table, bias = random((5, 4), (6, 4), (6,))
        targets = torch.tensor([[1], [3], [3], [0], [6]])
        found, expected = sampled_logsumexp(query, table, bias, targets, SHARES, 500), plain(query, table, bias)
        assert_allclose(found.detach(), expected.detach(), rtol=1e-5)
        for mine, its in zip(
            *(torch.autograd.grad(total.sum(), (query, table, bias)) for total in (found, expected)), strict=True
        ):
            assert_allclose(mine, its, rtol=1e-4, atol=1e-6)

    def test_a_catalogue_of_one_item(self) -> None:
        query, table, bias = (tensor.detach() for tensor in random((3, 4), (1, 4), (1,)))
        found = sampled_logsumexp(query, table, bias, torch.ones(3, 1, dtype=torch.int64), torch.ones(1), 5)
        assert_allclose(found, plain(query, table, bias), rtol=1e-5)


class TestApart:
    """Rows of the identity: a look's cosine with its own is 1, with all others 0; e^10 against R - 1 others."""

    def test_two_looks_that_agree(self) -> None:
        assert_allclose(apart(torch.eye(5), 3.0 * torch.eye(5)), math.log(1 + 4 * math.exp(-10)), rtol=1e-2)

    def test_two_looks_that_are_taken_for_each_others(self) -> None:
        assert_allclose(apart(torch.eye(5), torch.eye(5).roll(1, 0)), 10 + math.log(1 + 4 * math.exp(-10)), rtol=1e-6)

    def test_it_follows_the_formula(self) -> None:
        one, other = (tensor.detach() for tensor in random((7, 4), (7, 4)))
        unit_one, unit_other = (look.numpy() / np.linalg.norm(look.numpy(), axis=1)[:, None] for look in (one, other))
        logits = unit_one @ unit_other.T / 0.5
        expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits))
        assert_allclose(apart(one, other, temperature=0.5), expected, rtol=1e-5)

    def test_of_many_rows_some_are_told_apart(self) -> None:
        found = apart(torch.eye(600), torch.eye(600))
        assert_allclose(found, math.log(1 + 511 * math.exp(-10)), rtol=1e-3)

    def test_it_is_lower_the_more_two_looks_agree(self) -> None:
        one, noise = (tensor.detach() for tensor in random((40, 8), (40, 8)))
        losses = [float(apart(one, one + much * noise)) for much in (0.1, 0.5, 1.0, 10.0)]
        assert losses == sorted(losses)
        assert losses[0] < losses[-1] / 10

    def test_learning_from_it_makes_two_looks_agree(self) -> None:
        one, other = random((7, 4), (7, 4))
        loss = apart(one, other)
        gradients = torch.autograd.grad(loss, (one, other))
        assert all((gradient.abs().amax(dim=1) > 0).all() for gradient in gradients)
        with torch.no_grad():
            nearer = [look - 0.1 * gradient for look, gradient in zip((one, other), gradients, strict=True)]
        assert apart(*nearer) < loss


class TestInAttention:
    """The loss that attention learns by, from one batch of the toy shop, without dropout."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Attention:
        config = AttentionConfig(dim=8, n_layers=1, max_length=4, dropout=0.0, loop=LoopConfig(n_epochs=1))
        return Attention(10, config).fit(two_taste_shop().interactions, NOW_MS)

    @pytest.fixture(scope="class")
    @classmethod
    def batch(cls, model: Attention) -> WindowBatch:
        settings = WindowsConfig(batch_size=14, n_targets=2)
        return next(Windows(two_taste_shop().interactions, model.row_of.numpy(), 4, settings).batches(0))

    def losses(self, model: Attention, batch: WindowBatch, **settings: float) -> Tensor:
        usual = model.config
        model.config = replace(usual, **settings)
        try:
            return model.loss(batch).detach()
        finally:
            model.config = usual

    def test_a_large_sample_gives_the_loss_over_the_catalogue(self, model: Attention, batch: WindowBatch) -> None:
        whole, sampled = (self.losses(model, batch, n_negatives=n) for n in (0, 2000))
        assert_allclose(sampled, whole, rtol=1e-5)

    def test_contrast_is_added_by_its_weight(self, model: Attention, batch: WindowBatch) -> None:
        query = model.query(batch, model.table()).detach()
        without, weighted = (self.losses(model, batch, contrast=weight) for weight in (0.0, 0.3))
        assert_allclose(weighted - without, 0.3 * apart(query, query), rtol=1e-4)
