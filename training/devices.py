"""Where training computes, and with which precision: the processor in full, a GPU in mixed precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from fusionrec.errors import BadInputError

T = TypeVar("T")
NAMES: Final = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Device:
    """bf16 keeps float32's range; fp16, for older GPUs, needs its losses scaled so that gradients do not vanish."""

    kind: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["full", "bf16", "fp16"] = "full"

    @property
    def torch_device(self) -> torch.device:
        """Under `torchrun` every process of a machine has a GPU of its own."""
        index = int(os.environ.get("LOCAL_RANK", "0")) if self.kind == "cuda" else None
        return torch.device(self.kind, index) if index is not None else torch.device(self.kind)

    def autocast(self) -> AbstractContextManager[object]:
        """Products in half precision, sums and losses in full."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.kind, dtype=dtype, enabled=self.precision != "full")

    def scaler(self) -> torch.amp.GradScaler:
        """Does nothing unless the precision is fp16."""
        return torch.amp.GradScaler(self.kind, enabled=self.precision == "fp16")

    @contextmanager
    def holding(self, module: nn.Module) -> Iterator[None]:
        """The module is on this device for a while, and on the CPU again after it."""
        try:
            module.to(self.torch_device)
            yield
        finally:
            module.cpu()

    def moved(self, batch: T) -> T:
        """The batch with its tensors on this device: a tensor, or a (named) tuple of what may hold tensors."""
        if isinstance(batch, Tensor):
            waits = self.kind == "cpu"  # what comes from a GPU is read at once, and must be there
            return cast(T, batch.to(self.torch_device, non_blocking=not waits))
        if isinstance(batch, tuple):
            parts = [self.moved(part) for part in batch]
            return cast(T, type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts))
        return batch

    def __str__(self) -> str:
        return self.kind if self.precision == "full" else f"{self.kind}, {self.precision}"


CPU: Final = Device()


def choose(name: str) -> Device:
    """auto: a GPU where there is one. Raises BadInputError for cuda without a GPU, saying what to do."""
    if name not in NAMES:
        raise BadInputError(f"{name!r} is not one of {', '.join(NAMES)}", pointer="--device")
    if name == "cpu":
        return CPU
    if not torch.cuda.is_available():
        if name == "auto":
            return CPU
        remedy = (
            "this torch was built without CUDA; install the build for your CUDA version (https://pytorch.org)"
            if torch.version.cuda is None
            else "no GPU is visible; check the driver with `nvidia-smi` and CUDA_VISIBLE_DEVICES"
        )
        raise BadInputError(f"cuda cannot be used: {remedy}, or use --device cpu", pointer="--device")
    return Device("cuda", "bf16" if torch.cuda.is_bf16_supported() else "fp16")
