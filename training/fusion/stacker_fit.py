"""Fits the second stage on what users did next, and decides by users that it has not seen if it is worth having.

Learning goes in rounds. After each, NDCG@10 is taken on held-out users: the best round is how long to learn, and when
no round beats the first stage alone by more than its standard error, there is no second stage. Then the members of the
ensemble learn from all users, that long. Held-out users are drawn at random: their order in a file may tell something.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from training.devices import CPU, Device
from training.fusion.candidates import EvidenceTable
from training.fusion.fit import FusionConfig, ideal_gain, positions, smooth_gain
from training.fusion.fit import ndcg as at_k
from training.fusion.stacker import Ensemble, Stacker, StackerConfig
from training.models.protocol import Progress, silent

_SAMPLE = 1500  # requests from which means and spreads are taken
_PATIENCE = 2  # rounds after which a second stage that gained nothing on the first users is given up
_TELLING = 300  # users on whom that can be seen
_TRUSTS = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03)
_SEEDS = 100  # members of one seed before those of the next


@dataclass(frozen=True, slots=True)
class StackerFitConfig:
    network: StackerConfig = field(default_factory=StackerConfig)
    n_members: int = 3
    n_rounds: int = 5
    n_steps: int = 100  # in a round, where they would be fewer: a small table is passed over again, as `n_passes` lets
    n_passes: int = 3
    n_folds: int = 5
    n_turns: int = 5  # at most, of holding out a fold
    n_held_out: int = 4000  # requests, about, that are enough: fewer turns where they are many
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    k: int = 10
    several: float = 2.0  # relevant items a request from which their order is learnt as NDCG, not as a choice
    seed: int = 0  # of folds, starts, order and dropout


@dataclass(frozen=True, slots=True)
class Choice:
    """Held-out NDCG@k before learning and after each round, (n_rounds + 1,), and how many rounds were chosen."""

    curve: tuple[float, ...]
    error: tuple[float, ...]  # standard error of the gain over the first stage
    n_rounds: int


def fit_stacker(
    table: EvidenceTable, config: StackerFitConfig, progress: Progress = silent, device: Device = CPU
) -> tuple[Ensemble | None, Choice]:
    """The second stage, on the CPU, or None when the first alone is as good. device: where it learns, in full
    precision; the table stays where it is, and goes there a batch at a time."""
    choice = choose_rounds(table, config, lambda share: progress(0.5 * share), device)
    if not choice.n_rounds:
        return None, choice
    members = []
    for number in range(1, config.n_members + 1):
        *_, stacker = rounds(table, config, number, choice.n_rounds, device)
        members.append(stacker.cpu())
        progress(0.5 + 0.5 * number / config.n_members)
    return Ensemble(members).eval(), choice


def choose_rounds(
    table: EvidenceTable, config: StackerFitConfig, progress: Progress = silent, device: Device = CPU
) -> Choice:
    """How long to learn, from held-out users."""
    values = held_out(table, config, progress, device)
    gain, error = gains(values)
    best = int(gain.argmax())
    chosen = best if float(gain[best]) > float(error[best]) else 0
    return Choice(tuple(values.mean(dim=1).tolist()), tuple(error.tolist()), chosen)


def gains(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean gain over the first row, and its standard error, of each row: (N, R) -> (N,), (N,)."""
    gain = values - values[:1]
    return gain.mean(dim=1), gain.std(dim=1) / max(values.shape[1], 1) ** 0.5


def held_out(
    table: EvidenceTable, config: StackerFitConfig, progress: Progress = silent, device: Device = CPU
) -> Tensor:
    """NDCG@k of held-out requests before learning and after each round, float32 (n_rounds + 1, R): one fold of them, or
    several in turn where that is few. Fewer rows, when the first rounds of the first turn show no gain."""
    n = len(table.users)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(config.seed))
    folds = torch.chunk(order, config.n_folds)
    n_turns = min(len(folds), config.n_turns, max(1, round(config.n_held_out * len(folds) / max(n, 1))))
    found = []
    for turn in range(n_turns):
        held = folds[turn]
        inside = torch.ones(n, dtype=torch.bool)
        inside[held] = False
        learnt, judge = table.rows(inside), table.rows(held)
        after = []
        for stacker in rounds(learnt, config, 0, device=device):
            after.append(ndcg(stacker, judge, config, device))
            progress((turn + len(after) / (config.n_rounds + 1)) / n_turns)
            given_up = len(after) == _PATIENCE + 1 and len(held) >= _TELLING and not _promising(torch.stack(after))
            if turn == 0 and given_up:
                return torch.stack(after)
        after += [after[-1]] * (config.n_rounds + 1 - len(after))  # nothing to learn from: nothing changes
        found.append(torch.stack(after))
    return torch.cat(found, dim=1)


def _promising(values: Tensor) -> bool:
    """Some round gained something. That it be more than chance is asked of all users together, not of the first."""
    gain, _ = gains(values)
    return bool((gain > 0).any())


def rounds(
    table: EvidenceTable, config: StackerFitConfig, member: int, at_most: int | None = None, device: Device = CPU
) -> Iterator[Stacker]:
    """The stacker before learning and after each round. Deterministic; each member has a start and order of its own."""
    seed = _SEEDS * config.seed + member
    table = table.rows(table.relevant.any(dim=1))
    n, n_parts, _, n_told = table.told.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stacker = Stacker(n_parts, n_told, table.user.shape[1], config.network, table.shared.shape[2])
        sample = table.rows(torch.randperm(n)[:_SAMPLE])
        several = float(table.n_relevant.float().mean()) >= config.several
        if n:
            stacker.learn_scale(sample.evidence())
            start_where_loss_is_least(stacker, sample, config, several)
        yield stacker.to(device.torch_device).eval()
    if not n:
        return
    once = -(-n // config.batch_size)
    steps = max(once, min(config.n_steps, config.n_passes * once))
    optimizer = torch.optim.AdamW(stacker.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.learning_rate, total_steps=steps * config.n_rounds + 1, pct_start=0.05
    )
    for number in range(config.n_rounds if at_most is None else at_most):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * seed + number)
            stacker.train()
            order = torch.cat([torch.randperm(n) for _ in range(-(-steps * config.batch_size // n))])
            for batch in torch.split(order, config.batch_size)[:steps]:
                optimizer.zero_grad(set_to_none=True)
                rows = device.moved(table.rows(batch))
                loss(stacker, rows, config, several).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(stacker.parameters(), 1.0)
                optimizer.step()
                schedule.step()
        yield stacker.eval()


@torch.inference_mode()
def start_where_loss_is_least(stacker: Stacker, table: EvidenceTable, config: StackerFitConfig, several: bool) -> None:
    """The first stage was fitted for its order: what its scores mean as logits is found out first."""
    stacker.eval()
    losses = []
    for trust in _TRUSTS:
        stacker.trust.fill_(trust)
        losses.append(float(loss(stacker, table, config, several)))
    stacker.trust.fill_(_TRUSTS[min(range(len(_TRUSTS)), key=losses.__getitem__)])


def loss(stacker: Stacker, table: EvidenceTable, config: StackerFitConfig, several: bool) -> Tensor:
    """Choice of the relevant candidates among all (cross entropy), or 1 - smooth NDCG where there are several."""
    total = stacker.score(table.evidence()).masked_fill(~table.real, -1e4)
    if not several:
        chosen = table.relevant.float()
        of_row = (torch.log_softmax(total, dim=1) * chosen).sum(dim=1) / chosen.sum(dim=1)
        return -of_row.mean()
    smooth = FusionConfig(k=config.k)
    at, real = positions(table.relevant, smooth.max_relevant)
    gain = (smooth_gain(total, at, smooth) * real).sum(dim=1) / ideal_gain(table.n_relevant, config.k)
    return 1.0 - gain.mean()


@torch.inference_mode()
def ndcg(stacker: Stacker, table: EvidenceTable, config: StackerFitConfig, device: Device = CPU) -> Tensor:
    """NDCG@k of every request, float32 (R,)."""
    found = []
    for rows in torch.split(torch.arange(len(table.users)), 512):
        part = device.moved(table.rows(rows))
        total = stacker.score(part.evidence()).masked_fill(~part.real, -torch.inf)
        found.append(at_k(total, part.relevant, part.n_relevant, config.k).cpu())
    return torch.cat(found) if found else torch.zeros(0)
