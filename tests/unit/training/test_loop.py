"""The loop keeps the best state, stops when nothing gets better, tells its curves, and knows mixed precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusionrec.errors import BadInputError
from training import distributed
from training.devices import CPU, Device, choose
from training.loop import LoopConfig, Task, train
from training.models.attention import Attention, AttentionConfig
from training.models.protocol import Run
from training.models.two_tower import TwoTower, TwoTowerConfig
from training.models.windows import WindowBatch, Windows, WindowsConfig, share
from training.shop import NOW_MS, two_taste_shop

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: torch.cuda.is_available() is false")


def line(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    x = torch.linspace(-1.0, 1.0, 12).reshape(3, 4, 1)
    return iter([(part, 2.0 * part) for part in x])


def slope_task(model: nn.Linear, validate: object = None) -> Task[tuple[Tensor, Tensor]]:
    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return (model(x) - y).square().mean()

    return Task(line, 3, loss, validate)  # type: ignore[arg-type]


def slope() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(1, 1)


def test_training_stops_when_validation_gets_no_better_and_keeps_the_best_state() -> None:
    """Validated as 1, 3, 2, 2, 2 …: the second epoch is the best, and with patience 2 the fifth is never run."""
    model, epochs, states = slope(), [], []

    def validate() -> float:
        epochs.append(len(epochs))
        states.append(model.weight.item())
        return [1.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0][len(epochs) - 1]

    train(model, slope_task(model, validate), LoopConfig(n_epochs=7, learning_rate=0.1, patience=2))
    assert len(epochs) == 4
    assert model.weight.item() == states[1]
    assert len(set(states)) == 4


def test_without_patience_every_epoch_is_run() -> None:
    model, calls = slope(), []

    def validate() -> float:
        calls.append(model.weight.item())
        return -float(len(calls))

    train(model, slope_task(model, validate), LoopConfig(n_epochs=5, learning_rate=0.1))
    assert len(calls) == 5
    assert model.weight.item() == calls[0]


def test_curves_are_told_step_by_step_and_epoch_by_epoch() -> None:
    model, told, shares = slope(), [], []
    run = Run(record=lambda name, value, step: told.append((name, value, step)), after_epoch=shares.append)
    train(model, slope_task(model, lambda: 0.5), LoopConfig(n_epochs=10, learning_rate=0.1), run)
    losses = [(value, step) for name, value, step in told if name == "loss"]
    assert [step for _, step in losses] == list(range(1, 31))
    assert losses[-1][0] < 0.2 * losses[0][0]
    assert [(value, step) for name, value, step in told if name == "validation"] == [(0.5, e) for e in range(1, 11)]
    assert [step for name, _, step in told if name == "learning_rate"] == list(range(1, 11))
    assert shares == pytest.approx([e / 10 for e in range(1, 11)])


def test_an_error_after_an_epoch_ends_the_fit() -> None:
    """This is how a search gives up a trial."""

    def give_up(share: float) -> None:
        if share >= 0.5:
            raise InterruptedError

    shop = two_taste_shop().interactions
    config = AttentionConfig(dim=8, n_layers=1, max_length=4, loop=LoopConfig(n_epochs=4))
    with pytest.raises(InterruptedError):
        Attention(10, config).fit(shop, NOW_MS, Run(after_epoch=give_up))


def hit_share(part: Attention) -> float:
    """Share of the users whose withheld item comes first among the unseen."""
    shop = two_taste_shop()
    data, hits = shop.interactions, 0
    for user in range(data.n_users):
        own = slice(data.offsets[user], data.offsets[user + 1])
        items, events = (torch.from_numpy(array[own])[None] for array in (data.items, data.events))
        ages = torch.from_numpy((NOW_MS - data.sent_at[own]) / 86_400_000)[None].float()
        with torch.inference_mode():
            scores = part(items, events, ages)[0].index_fill(0, items[0], -torch.inf)
        hits += int(1 + scores[1:].argmax() == shop.withheld[user])
    return hits / data.n_users


@pytest.mark.parametrize(
    "device", [Device("cpu", "bf16"), pytest.param(Device("cuda", "bf16"), marks=CUDA),
               pytest.param(Device("cuda", "fp16"), marks=CUDA)], ids=str,
)  # fmt: skip
def test_mixed_precision_learns_the_same_taste(device: Device) -> None:
    config = AttentionConfig(
        dim=16, n_layers=1, max_length=8, loop=LoopConfig(n_epochs=60, learning_rate=1e-2),
        windows=WindowsConfig(n_targets=3),
    )  # fmt: skip
    shop = two_taste_shop().interactions
    full = Attention(10, config).fit(shop, NOW_MS)
    mixed = Attention(10, config).fit(shop, NOW_MS, Run(device=device))
    assert hit_share(mixed) == hit_share(full) == 1.0
    assert not torch.equal(mixed.item.weight, full.item.weight), "half precision was not used"
    assert {tensor.device.type for tensor in mixed.state_dict().values()} == {"cpu"}
    assert {tensor.dtype for tensor in mixed.parameters()} == {torch.float32}


def test_the_shares_of_a_batch_are_the_batch() -> None:
    """Window by window; the gradient of the whole is the weighted sum of those of the shares."""
    shop = two_taste_shop().interactions
    model = Attention(10, AttentionConfig(dim=8, n_layers=1, max_length=6, dropout=0.0))
    windows = Windows(shop, model.row_of.numpy(), 6, WindowsConfig(batch_size=5, n_positions=3))
    batch = next(windows.batches(0))
    model.loss(batch).backward()
    whole = model.item.weight.grad.clone()
    model.zero_grad()
    total = 0.0
    for rank in range(3):
        mine, weight = share(batch, rank, 3)
        total += weight
        (weight * model.loss(mine)).backward()
    assert total == pytest.approx(1.0)
    torch.testing.assert_close(model.item.weight.grad, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [Attention, TwoTower])
def test_of_two_processes_each_computes_its_share(
    kind: type[Attention | TwoTower], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were each to compute all of every batch, the result would be the same, and nothing faster."""
    sizes: list[int] = []

    class Counted(kind):  # type: ignore[misc, valid-type]
        def loss(self, batch: Any) -> Tensor:
            sizes.append(len(batch.items))
            return super().loss(batch)  # type: ignore[no-any-return]

    def learnt() -> int:
        sizes.clear()
        small = AttentionConfig(dim=8, n_layers=1, max_length=4) if kind is Attention else TwoTowerConfig(dim=8)
        Counted(10, replace(small, loop=LoopConfig(n_epochs=1))).fit(two_taste_shop().interactions, NOW_MS)
        return sum(sizes)

    whole, found = learnt(), []
    for own in (0, 1):
        with monkeypatch.context() as patch:
            for name, answer in (("rank", own), ("n_processes", 2)):
                patch.setattr(distributed, name, lambda answer=answer: answer)
            patch.setattr(distributed, "helped", lambda *_: nullcontext())
            patch.setattr(distributed, "agreed", lambda value: value)
            patch.setattr(distributed, "add_up", lambda _, loss: loss)
            found.append(learnt())
    assert sum(found) == whole
    assert abs(found[0] - found[1]) <= 1


def test_a_batch_moves_with_its_names() -> None:
    tensor = torch.zeros(1)
    moved = CPU.moved((WindowBatch(*([tensor] * 7)), [1], 2))
    assert isinstance(moved[0], WindowBatch)
    assert moved[1:] == ([1], 2)


def test_cuda_without_a_gpu_is_one_line_with_the_remedy() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(BadInputError, match=r"install the build for your CUDA version|nvidia-smi") as caught:
        choose("cuda")
    assert caught.value.pointer == "--device"
    assert choose("auto") == choose("cpu") == CPU
    with pytest.raises(BadInputError, match="auto, cpu, cuda"):
        choose("tpu")
