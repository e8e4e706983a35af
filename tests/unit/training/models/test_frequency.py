"""Attention with a low-pass filter: the suite of the parts, and the filter against a plain computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

from tests.suites.models import TasteSuite, shop_inputs
from training.loop import LoopConfig
from training.models.attention import Attention, AttentionConfig
from training.models.blocks import Block, BlockConfig, bias_of
from training.models.frequency import FrequencyAttention
from training.models.protocol import Part
from training.models.windows import WindowsConfig
from training.shop import Shop


class TestFrequencyAttention(TasteSuite):
    @classmethod
    def make(cls, n_items: int) -> Part:
        config = AttentionConfig(
            dim=16,
            n_layers=1,
            max_length=8,
            low_pass=0.5,
            loop=LoopConfig(n_epochs=60, learning_rate=1e-2),
            windows=WindowsConfig(n_targets=3),
        )
        return FrequencyAttention(n_items, config)

    def test_the_filter_learns_and_has_a_say(self, model: FrequencyAttention, shop: Shop) -> None:
        (block,) = model.blocks
        assert isinstance(block, Block)
        assert (block.high != 0.5).any()
        scores = model.score(shop_inputs(shop))
        share, block.low_pass = block.low_pass, 0.0
        try:
            without = model.score(shop_inputs(shop))
        finally:
            block.low_pass = share
        assert np.abs(scores - without).max() > 0.01

    def test_answers_name_it_apart_from_attention(self, model: Part) -> None:
        assert model.name == "frequency" != Attention.name


LOW_PASS = 0.3
REAL = torch.tensor([[False, False, True, True, True], [True, True, True, True, True]])


def block(low_pass: float = LOW_PASS) -> Block:
    """Random in all that the filter learns; without the network that follows."""
    torch.manual_seed(0)
    made = Block(BlockConfig(dim=6, n_heads=2, dropout=0.0, low_pass=low_pass)).eval()
    nn.init.zeros_(made.mlp[-1].weight)
    nn.init.zeros_(made.mlp[-1].bias)
    if low_pass:
        for learnt in (made.high, made.filter_norm.weight, made.filter_norm.bias):
            nn.init.normal_(learnt)
    return made


@pytest.fixture
def inputs() -> Tensor:
    """What stands at padding is as large as the rest."""
    return torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))


def by_hand(made: Block, inputs: Tensor) -> np.ndarray:
    """(2, 5, 6), zero at padding: each position's history is looked at by itself."""
    high, scale, shift = (
        tensor.detach().numpy() for tensor in (made.high, made.filter_norm.weight, made.filter_norm.bias)
    )
    found = np.zeros(inputs.shape)
    for row, at in np.argwhere(REAL.numpy()):
        history = inputs[row].numpy()[: at + 1][REAL[row].numpy()[: at + 1]]
        low = history.mean(axis=0)
        passed = low + high**2 * (history[-1] - low)
        found[row, at] = scale * (passed - passed.mean()) / np.sqrt(passed.var() + 1e-5) + shift
    return found


@torch.inference_mode()
def test_the_filter_keeps_the_mean_of_the_history_and_a_share_of_what_differs(inputs: Tensor) -> None:
    made = block()
    assert_allclose(made.filtered(inputs, REAL)[REAL], by_hand(made, inputs)[REAL.numpy()], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_filter_stands_beside_attention_by_its_share(inputs: Tensor) -> None:
    made, attention = block(), block(low_pass=0.0)
    attention.load_state_dict(made.state_dict(), strict=False)
    visible = torch.ones(5, 5, dtype=torch.bool).tril() & REAL[:, None, :] | torch.eye(5, dtype=torch.bool)
    bias = bias_of(visible)[:, None]
    mixed, attended = (each(inputs, bias, REAL) - inputs for each in (made, attention))
    expected = LOW_PASS * made.filtered(made.norm(inputs), REAL) + (1.0 - LOW_PASS) * attended
    assert_allclose(mixed[REAL], expected[REAL], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_filter_does_not_see_what_comes_later(inputs: Tensor) -> None:
    made, later = block(), inputs.clone()
    later[:, 3:] += 5.0
    before, after = (made.filtered(each, REAL) for each in (inputs, later))
    assert_allclose(after[:, :3], before[:, :3], rtol=1e-5, atol=1e-6)
    assert (after[:, 3:] - before[:, 3:]).abs().max() > 0.1


@torch.inference_mode()
def test_padding_on_the_left_does_not_pass_the_filter(inputs: Tensor) -> None:
    made = block()
    wide, real = nn.functional.pad(inputs, (0, 0, 3, 0), value=9.0), nn.functional.pad(REAL, (3, 0))
    assert_allclose(made.filtered(wide, real)[real], made.filtered(inputs, REAL)[REAL], rtol=1e-5, atol=1e-6)
