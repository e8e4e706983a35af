"""Data-parallel training under `torchrun`: one process leads, the others help it with the training loop.

The leading process runs the whole command. Where it comes to a training loop it summons the others, who get the model
and its task, and every process computes the gradient of its share of each batch. All else (reading, closed-form
models, writing) is done once, by the leader, so nothing is written twice.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch import distributed as dist

from fusionrec.errors import FusionrecError

LEADER: Final = 0
_PATIENCE: Final = timedelta(days=2)  # helpers wait while the leader does what cannot be shared


def launched() -> bool:
    """Was this process started by `torchrun` beside others?"""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else LEADER


def n_processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def run(lead: Callable[[], None]) -> None:
    """`lead` in the leading process, help in the others. Raises FusionrecError in a helper that was left alone."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        if rank() == LEADER:
            try:
                lead()
            finally:
                dismiss()
        else:
            help_out()
    finally:
        dist.destroy_process_group()


_in_job = False  # of the leader: the helpers are at work


@contextmanager
def helped(work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """While the body runs here, every other process does `work(*arguments)`. Nothing when alone.

    raises: FusionrecError when the work cannot be sent
    """
    global _in_job  # noqa: PLW0603 - a process leads one team, as it has one process group
    if n_processes() > 1:
        try:
            job = pickle.dumps((work, arguments))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise FusionrecError(f"a model cannot be sent to the other processes: {error}; train in one") from error
        _in_job = True
        dist.broadcast_object_list([job], src=LEADER, device=torch.device("cpu"))
    yield
    _in_job = False  # only after success: an error leaves the helpers in the middle of it


def dismiss() -> None:
    """Send the helpers home, unless the leader leaves them in the middle of a job: they notice by themselves."""
    if not _in_job:
        dist.broadcast_object_list([None], src=LEADER, device=torch.device("cpu"))


def help_out() -> None:
    """Do what the leader asks for, until it asks for no more."""
    while True:
        box: list[Any] = [None]
        try:
            dist.broadcast_object_list(box, src=LEADER, device=torch.device("cpu"))
            if box[0] is None:
                return
            work, arguments = pickle.loads(box[0])  # noqa: S301 - from our own leader, over this run's process group
            work(*arguments)
        except RuntimeError as error:  # also how gloo says that a process is gone
            detail = str(error).splitlines()[0]
            raise FusionrecError(
                f"process {rank()} cannot help any further ({detail}); see the leader's error"
            ) from None


def agreed(value: float | None) -> float | None:
    """The leader's value, in every process."""
    if n_processes() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=LEADER, device=torch.device("cpu"))
    return box[0]


def add_up(parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
    """Replace gradients by their sums over all processes; returns the summed loss. In one message."""
    if n_processes() == 1:
        return loss
    learnt = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in learnt:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([*(parameter.grad.flatten() for parameter in learnt if parameter.grad is not None), loss[None]])
    dist.all_reduce(flat)
    place = 0
    for parameter in learnt:
        parameter.grad = flat[place : place + parameter.numel()].view_as(parameter)
        place += parameter.numel()
    return flat[-1]
