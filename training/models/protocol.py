"""What every model of the fusion is: an `nn.Module` that can be fitted, asked for scores, and exported.

A part scores the whole catalogue from the ranker's inputs with operations that ONNX knows, so that the fused ranker
is the parts side by side in one graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fusionrec.transforms import ModelInput
from training.devices import CPU, Device
from training.interactions import Interactions

Progress = Callable[[float], None]  # told the share that is done, 0 to 1


Record = Callable[[str, float, int], None]  # told a curve's name, a value, and at which step or epoch


def silent(_: float) -> None:
    """A progress that nobody watches."""


def unrecorded(_name: str, _value: float, _step: int) -> None:
    """Curves that nobody keeps."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a fit is run; nothing here changes what is learnt (on another device: but for rounding)."""

    progress: Progress = silent
    checkpoint: Path | None = None  # where a long fit keeps its place, to continue after an interruption
    record: Record = unrecorded
    after_epoch: Progress = silent  # told the share of the epochs; the part can be asked for scores; may raise
    device: Device = CPU

    def portion(self, begin: float, end: float) -> Run:
        """The run of a part of this work, which takes its progress from the share `begin` to the share `end`."""
        return replace(self, progress=lambda share: self.progress(begin + (end - begin) * share))


QUIET: Final = Run()


class Part(nn.Module, ABC):
    """One model. Its output column 0 is padding and holds 0.

    forward: history_items, history_events int64 (B, L), history_age_days float32 (B, L) -> float32 (B, n_items + 1);
    scores are comparable within a row only.
    """

    name: ClassVar[str]
    n_strengths: ClassVar[int] = 0  # kinds of strength that `between` tells
    n_items: int
    config: Any  # a frozen dataclass: its `repr` is part of the key under which a fitted part is kept

    @abstractmethod
    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        """Learn from all of `data`; the first request after it comes at `now_ms`. Deterministic."""

    @abstractmethod
    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor: ...

    def between(self, recent: Tensor, candidates: Tensor) -> Tensor:
        """How strongly single items of the history argue for a candidate, whatever their age.

        recent:     int64 (B, R), indices, 0 = padding
        candidates: int64 (B, C), distinct indices
        returns:    float32 (B, M, R, C) with M = n_strengths kinds, 0 at padding
        """
        return torch.zeros(recent.shape[0], 0, recent.shape[1], candidates.shape[1], device=recent.device)

    def score(self, inputs: ModelInput) -> npt.NDArray[np.float32]:
        """Scores as an array, without gradients: float32 (B, n_items + 1)."""
        device = next((each.device for each in (*self.parameters(), *self.buffers())), torch.device("cpu"))
        with torch.inference_mode():
            scores: Tensor = self(*(torch.from_numpy(array).to(device) for array in inputs))
        return scores.cpu().numpy()

    def export_onnx(self, path: Path) -> None:
        """Write this part alone as a graph with the ranker's inputs and one output, `scores`."""
        from training.export import export_part  # noqa: PLC0415 - export imports the fusion, which imports parts

        export_part(self, path)


def newest_occurrence(items: Tensor) -> Tensor:
    """float32 (B, L): 1 where an item stands for the last time in its history, 0 elsewhere and at padding."""
    length = items.shape[1]
    order = torch.arange(length, device=items.device)
    later = order[None, :] > order[:, None]  # (L, L): column m comes after row l
    again = ((items[:, :, None] == items[:, None, :]) & later).any(dim=2)
    return ((items > 0) & ~again).float()
