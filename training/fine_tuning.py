"""The attention part goes on learning from what is new, instead of from everything anew.

Each epoch passes over the stretches of histories that hold new events, with the events before them as context, and
over as many stretches of older histories, drawn anew each time: against forgetting. It starts where training ended,
at a small share of its learning rate. How many epochs do good is found on the last of the new events, before they are
learnt from themselves.

source: replay against forgetting: Robins 1995, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection
        Science 7(2); warm starts of sequence models as in Hidasi & Czapp 2023, arXiv:2307.14956, sec. 4
limits: items that the part did not learn before stay unknown to it
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from training.aligned import sliced
from training.evaluate import Seen
from training.interactions import Interactions
from training.loop import Task, train
from training.models.attention import Attention
from training.models.protocol import QUIET, Run
from training.models.windows import Windows, share
from training.protocols import temporal
from training.search.objective import Judge


@dataclass(frozen=True, slots=True)
class FineTuneConfig:
    max_epochs: int = 4
    rate: float = 0.3  # of the learning rate that the part was trained with
    replay: float = 1.0  # old stretches for each one with new events
    held_out: float = 0.25  # the last share of the new time says how many epochs
    seed: int = 0


Step = Callable[[str, Callable[[Run], Attention]], Attention]  # (name, work): runs it, or knows its result


def at_once(_: str, work: Callable[[Run], Attention]) -> Attention:
    """A step that keeps nothing."""
    return work(QUIET)


def choose_epochs(
    part: Attention, data: Interactions, since_ms: int, config: FineTuneConfig, seen: Seen, step: Step = at_once
) -> int:
    """How many epochs do good: until NDCG@10 on the last of the new events no longer rises. 0: none does.

    since_ms: events from then on are new
    """
    end_ms = int(data.sent_at.max(initial=since_ms)) + 1
    from_ms = end_ms - int(config.held_out * (end_ms - since_ms))
    asked = temporal(data, from_ms, from_ms, end_ms).test
    judge = Judge(data, asked, asked, seen, config.seed)
    if not len(asked.users):
        return 0
    best, known = float(judge.on_choosing(part).mean()), data.prefix(data.ends_before(from_ms))
    for epoch in range(config.max_epochs):
        part = _next(part, known, since_ms, config, epoch, step, " of a trial")
        value = float(judge.on_choosing(part).mean())
        if value <= best:
            return epoch
        best = value
    return config.max_epochs


def fine_tune(
    part: Attention,
    data: Interactions,
    since_ms: int,
    config: FineTuneConfig,
    n_epochs: int,
    step: Step = at_once,
    where: str = "",
) -> Attention:
    """Another part; this one stays as it is. where: ends the names of steps"""
    for epoch in range(n_epochs):
        part = _next(part, data, since_ms, config, epoch, step, where)
    return part


def _next(
    part: Attention, data: Interactions, since_ms: int, config: FineTuneConfig, epoch: int, step: Step, where: str
) -> Attention:
    return step(
        f"{part.name}, epoch {epoch + 1}{where}", lambda run: one_epoch(part, data, since_ms, config, epoch, run)
    )


def one_epoch(
    part: Attention, data: Interactions, since_ms: int, config: FineTuneConfig, epoch: int, run: Run = QUIET
) -> Attention:
    """After one pass over the new events and a sample of the old."""
    tuned, settings = copy.deepcopy(part), part.config
    seed = config.seed + epoch + 1
    mixed = stretches(data, since_ms, settings.max_length, config.replay, seed)
    counts = torch.from_numpy(np.bincount(data.items, minlength=data.n_items + 1))[tuned.head]
    tuned.shares = counts.float() / max(int(counts.sum()), 1)
    windows = Windows(mixed, tuned.row_of.numpy(), settings.max_length, replace(settings.windows, seed=seed))
    loop = replace(
        settings.loop, n_epochs=1, learning_rate=config.rate * settings.loop.learning_rate, patience=0, seed=seed
    )
    train(tuned, Task(windows.batches, windows.n_batches, tuned.loss, share=share), loop, run)
    return tuned


def stretches(data: Interactions, since_ms: int, width: int, replay: float, seed: int) -> Interactions:
    """Users with new events, from `width` events before these; and stretches of old events, as users of their own."""
    new_from = data.ends_before(since_ms)
    touched = np.flatnonzero(new_from < data.offsets[1:])
    starts, stops = np.maximum(new_from[touched] - width, data.offsets[touched]), data.offsets[touched + 1]
    n_windows = int(np.ceil((stops - starts) / width).sum())
    old = np.flatnonzero(data.sent_at < since_ms)
    drawn = np.random.default_rng(seed).choice(old, min(round(replay * n_windows), len(old)), replace=False)
    begins, ends = data.offsets[data.users[drawn]], new_from[data.users[drawn]]
    first = np.maximum(np.minimum(drawn, ends - width), begins)
    last = np.minimum(first + width + 1, ends)
    return sliced(data, np.concatenate([starts, first]), np.concatenate([stops, last]))
