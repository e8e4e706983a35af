"""The one training loop: seed, step, validate, keep best, resume. On one processor, a GPU, or several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import torch
from torch import Tensor, nn

from training import distributed
from training.devices import Device
from training.models.protocol import QUIET, Record, Run

Batch = TypeVar("Batch")
_RECORD_EVERY: Final = 20  # steps between two looks at the losses, which make a GPU wait


@dataclass(frozen=True, slots=True)
class LoopConfig:
    n_epochs: int = 10
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.1  # share of the steps in which the rate rises; then it falls along a cosine
    clip_norm: float = 1.0
    patience: int = 0  # epochs without a better validation before stopping; 0 = never stop
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Task(Generic[Batch]):
    """What to learn. `batches` must give the same for the same epoch, so that a resumed run ends like an unbroken one.

    batches:   epoch → its batches, in order
    n_batches: in an epoch
    loss:      batch → scalar
    validate:  () → higher is better; None = keep the last state
    share:     (batch, rank, n_processes) → this process's share of it and its weight in the loss; the weights of all
               shares sum to 1. None = every process computes the whole batch
    """

    batches: Callable[[int], Iterator[Batch]]
    n_batches: int
    loss: Callable[[Batch], Tensor]
    validate: Callable[[], float] | None = None
    share: Callable[[Batch, int, int], tuple[Batch, float]] | None = None


def train(module: nn.Module, task: Task[Batch], config: LoopConfig, run: Run = QUIET) -> None:
    """Train in place, and leave the module in eval mode on the CPU. An interrupted run continues at its checkpoint.

    Under `torchrun` other processes help: module and task are sent to them, so `batches`, `loss` and `share` must be
    functions or bound methods. What `validate` and `run` hold is asked of the leading process only.
    """
    saved = None
    if run.checkpoint is not None and run.checkpoint.exists():
        saved = torch.load(run.checkpoint, weights_only=True, map_location="cpu")
    with distributed.helped(_learn, module, replace(task, validate=None), config, Run(device=run.device), saved):
        _learn(module, task, config, run, saved)


def _learn(module: nn.Module, task: Task[Batch], config: LoopConfig, run: Run, saved: dict[str, Any] | None) -> None:
    device, n_steps = run.device, max(1, config.n_epochs * task.n_batches)
    module.to(device.torch_device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.learning_rate, total_steps=n_steps + 1, pct_start=config.warmup
    )
    scaler, losses = device.scaler(), _Losses(run.record)
    state = _Progressed(module, optimizer, schedule, scaler)
    state.resume(saved)
    while state.epoch < config.n_epochs and not state.stale(config.patience):
        _seed(config.seed, state.epoch)  # dropout too is the same after a resume
        module.train()
        for step, batch in enumerate(task.batches(state.epoch), start=state.epoch * task.n_batches + 1):
            optimizer.zero_grad(set_to_none=True)
            loss = _backward(task, device.moved(batch), device, scaler)
            loss = distributed.add_up(module.parameters(), loss)
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            losses.add(loss, step)
            run.progress(step / n_steps)
        losses.flush()
        module.eval()
        state.finish_epoch(distributed.agreed(task.validate() if task.validate else None))
        run.record("learning_rate", float(schedule.get_last_lr()[0]), state.epoch)
        if state.latest is not None:
            run.record("validation", state.latest, state.epoch)
        state.save(run.checkpoint)
        run.after_epoch(state.epoch / config.n_epochs)
    state.restore_best()
    module.cpu().eval()


def _backward(task: Task[Batch], batch: Batch, device: Device, scaler: torch.amp.GradScaler) -> Tensor:
    """Gradients of this process's share of the batch; returns its share of the mean loss, without gradient."""
    rank, n_processes = distributed.rank(), distributed.n_processes()
    weight = 1.0 / n_processes
    if task.share and n_processes > 1:
        batch, weight = task.share(batch, rank, n_processes)
    if weight == 0.0:  # a batch smaller than the team
        return torch.zeros((), device=device.torch_device)
    with device.autocast():
        loss = task.loss(batch) * weight
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    return loss.detach().float()


def _seed(seed: int, epoch: int) -> None:
    torch.manual_seed(seed * 1_000_003 + epoch + 500_009 * distributed.rank())


class _Losses:
    """Hands losses to the record, some steps late: reading one makes a GPU wait."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.waiting: list[tuple[int, Tensor]] = []

    def add(self, loss: Tensor, step: int) -> None:
        self.waiting.append((step, loss))
        if len(self.waiting) == _RECORD_EVERY:
            self.flush()

    def flush(self) -> None:
        for step, loss in self.waiting:
            self.record("loss", loss.item(), step)
        self.waiting.clear()


class _Progressed:
    """Where training stands: epoch, best validation so far, and what is needed to go on."""

    def __init__(self, module: nn.Module, *stateful: Any) -> None:
        self.module, self.stateful = module, stateful
        self.epoch, self.best, self.best_epoch = 0, float("-inf"), -1
        self.latest: float | None = None
        self.best_state: dict[str, Tensor] | None = None

    def stale(self, patience: int) -> bool:
        return patience > 0 and self.best_state is not None and self.epoch - self.best_epoch > patience

    def finish_epoch(self, value: float | None) -> None:
        self.latest = value
        if value is not None and value > self.best:
            self.best, self.best_epoch = value, self.epoch
            self.best_state = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        self.epoch += 1

    def restore_best(self) -> None:
        if self.best_state is not None:
            self.module.load_state_dict(self.best_state)

    def save(self, path: Path | None) -> None:
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        torch.save(
            {
                "module": self.module.state_dict(),
                "stateful": [each.state_dict() for each in self.stateful],
                "place": (self.epoch, self.best, self.best_epoch, self.best_state),
            },
            part,
        )
        part.replace(path)

    def resume(self, saved: dict[str, Any] | None) -> None:
        if saved is None:
            return
        self.module.load_state_dict(saved["module"])
        for each, state in zip(self.stateful, saved["stateful"], strict=True):
            each.load_state_dict(state)
        self.epoch, self.best, self.best_epoch, self.best_state = saved["place"]
