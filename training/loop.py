"""The one training loop: seed, step, validate, keep best, resume."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from training.models.protocol import Progress, silent

Batch = TypeVar("Batch")


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
    """

    batches: Callable[[int], Iterator[Batch]]
    n_batches: int
    loss: Callable[[Batch], Tensor]
    validate: Callable[[], float] | None = None


def train(
    module: nn.Module,
    task: Task[Batch],
    config: LoopConfig,
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> None:
    """Train in place, and leave the module in eval mode. An interrupted run continues at its checkpoint's epoch."""
    n_steps = max(1, config.n_epochs * task.n_batches)
    optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.learning_rate, total_steps=n_steps + 1, pct_start=config.warmup
    )
    state = _Progressed(module, optimizer, schedule)
    state.resume(checkpoint)
    while state.epoch < config.n_epochs and not state.stale(config.patience):
        torch.manual_seed(config.seed * 1_000_003 + state.epoch)  # dropout too is the same after a resume
        module.train()
        for step, batch in enumerate(task.batches(state.epoch)):
            optimizer.zero_grad(set_to_none=True)
            task.loss(batch).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
            optimizer.step()
            schedule.step()
            progress((state.epoch * task.n_batches + step + 1) / n_steps)
        module.eval()
        state.finish_epoch(task.validate() if task.validate else None)
        state.save(checkpoint)
    state.restore_best()
    module.eval()


class _Progressed:
    """Where training stands: epoch, best validation so far, and what is needed to go on."""

    def __init__(self, module: nn.Module, *stateful: Any) -> None:
        self.module, self.stateful = module, stateful
        self.epoch, self.best, self.best_epoch = 0, float("-inf"), -1
        self.best_state: dict[str, Tensor] | None = None

    def stale(self, patience: int) -> bool:
        return patience > 0 and self.best_state is not None and self.epoch - self.best_epoch > patience

    def finish_epoch(self, value: float | None) -> None:
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

    def resume(self, path: Path | None) -> None:
        if path is None or not path.exists():
            return
        saved = torch.load(path, weights_only=True)
        self.module.load_state_dict(saved["module"])
        for each, state in zip(self.stateful, saved["stateful"], strict=True):
            each.load_state_dict(state)
        self.epoch, self.best, self.best_epoch, self.best_state = saved["place"]
