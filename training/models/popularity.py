"""Popularity that fades with time, and what a shopper buys again.

    score(i) = log P(i),  P(i) = σ(repeat evidence of i) if i is in the history, else new · newcomers(i)

Both are probabilities that the item comes within the next weeks. `newcomers` is the faded share of first purchases:
with plain popularity, what everybody buys every week would be offered as new. The repeat term is a logistic
regression on how often the user had the item, how long ago, how that age compares with the user's own interval for
it, and how often others come back to it. It is fitted at an earlier cut-off inside the training data. With
`n_segments`, newcomers(i) = P(i | u) of `leanings.py`: what is new to people of this user's leaning.

source: features as in Bhagat et al. 2018, "Buy It Again: Modeling Repeat Purchase Recommendations", KDD, sec. 4
limits: knows only the history that it is given; a user without history gets plain popularity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fusionrec.feature_spec import DAY_MS
from training.interactions import Interactions, Requests
from training.models.leanings import item_kinds, leaning, shares_by_leaning
from training.models.protocol import QUIET, Part, Run, newest_occurrence

N_FACTS: Final = 3  # of an item
FADES_DAYS: Final = (14.0, 45.0, 150.0)  # half-lives of a user's own counts of an item
N_EVIDENCE: Final = 10 + 2 * len(FADES_DAYS) + N_FACTS
_BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class PopularityConfig:
    half_life_days: float = 30.0
    smoothing: float = 0.1  # interactions added to every item, so that none has probability 0
    horizon_days: float = 28.0  # "again" means within this time
    prior: float = 5.0  # users added to an item's repeat rate, at the catalogue's mean
    ridge: float = 1e-3
    event_weights: tuple[float, ...] = (0.0, 0.2, 0.3, 0.6, 1.0, 0.8, 0.0)  # by event code
    n_segments: int = 0  # of users, by what their recent history leans to; 0: everybody is offered the same as new
    segment_prior: float = 300.0  # faded interactions added to each segment at the shares of all


class Popularity(Part):
    """Buffers float32 (n_items + 1,): log_popularity; log_new = log(new · newcomers); facts (n_items + 1, N_FACTS).

    kinds int64 (n_items + 1,) and by_leaning float32 (S + 1, n_items + 1), new · newcomers of each; S = 0 without
    segments, or without words.
    """

    name: ClassVar[str] = "popularity"
    log_popularity: Tensor
    log_new: Tensor
    facts: Tensor
    kinds: Tensor
    by_leaning: Tensor
    coefficients: Tensor
    intercept: Tensor

    def __init__(self, n_items: int, config: PopularityConfig | None = None) -> None:
        super().__init__()
        self.n_items = n_items
        self.config = config or PopularityConfig()
        self.register_buffer("log_popularity", torch.zeros(n_items + 1))
        self.register_buffer("log_new", torch.zeros(n_items + 1))
        self.register_buffer("facts", torch.zeros(n_items + 1, N_FACTS))
        self.register_buffer("kinds", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("by_leaning", torch.zeros(1, n_items + 1))
        self.register_buffer("coefficients", torch.zeros(N_EVIDENCE))
        self.register_buffer("intercept", torch.tensor(-20.0))  # nothing repeats before it was fitted

    @property
    def popularity(self) -> npt.NDArray[np.float32]:
        """Shares float32 (n_items + 1,); 0 at padding."""
        shares = torch.softmax(self.log_popularity[1:], dim=0).numpy()
        return np.concatenate([np.zeros(1, np.float32), shares])

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        earlier = self._earlier(data, now_ms)
        self.facts = self._facts(data.prefix(earlier.ends_of_all), earlier.now_ms)
        n_new = self._fit_repeats(data, earlier.requests, run)
        self.facts = self._facts(data, now_ms)
        weights = self._weights(data, now_ms)
        self.log_popularity = self._log_shares(data, weights)
        fresh = weights * first_times(data)
        newcomers = self._log_shares(data, fresh)
        self.log_new = newcomers + float(np.log(n_new))
        self.log_popularity[0] = self.log_new[0] = 0.0
        if self.config.n_segments:
            kinds = item_kinds(data, self.config.n_segments)
            shares = shares_by_leaning(data, kinds, fresh, newcomers.exp(), self.config.segment_prior)
            self.kinds, self.by_leaning = torch.from_numpy(kinds), n_new * shares
        run.progress(1.0)
        return self

    def _facts(self, data: Interactions, now_ms: int) -> Tensor:
        """float32 (n_items + 1, N_FACTS): how often users come back to it, popularity of late, popularity ever."""
        late = self._log_shares(data, self._weights(data, now_ms))
        return torch.stack([item_repeat_rates(data, self.config.prior), late, self._log_shares(data)], dim=1)

    def _log_shares(self, data: Interactions, weights: npt.NDArray[np.float64] | None = None) -> Tensor:
        counts = np.bincount(data.items, weights, self.n_items + 1) + self.config.smoothing
        return torch.from_numpy(np.log(counts / counts[1:].sum())).float()

    def _weights(self, data: Interactions, now_ms: int) -> npt.NDArray[np.float64]:
        age_days = (now_ms - data.sent_at) / DAY_MS if data.has_times else np.zeros(len(data))
        by_type = np.array(self.config.event_weights)[data.events]
        faded: npt.NDArray[np.float64] = np.exp2(-age_days / self.config.half_life_days) * by_type
        return faded

    def _earlier(self, data: Interactions, now_ms: int) -> _Earlier:
        """Requests one horizon before now; without times, before each user's last interaction."""
        if data.has_times:
            cutoff = int(now_ms - self.config.horizon_days * DAY_MS)
            ends = data.ends_before(cutoff)
            at = np.full(data.n_users, cutoff)
        else:
            ends = np.maximum(data.offsets[1:] - 1, data.offsets[:-1])
            at = data.sent_at[np.minimum(ends, max(len(data) - 1, 0))] if len(data) else np.zeros(data.n_users, int)
        users = np.flatnonzero((ends > data.offsets[:-1]) & (ends < data.offsets[1:]))
        return _Earlier(ends, int(at.max(initial=0)), Requests(users, ends[users], data.offsets[users + 1], at[users]))

    def _fit_repeats(self, data: Interactions, requests: Requests, run: Run) -> float:
        """Fit the regression; returns the mean number of distinct new items that a user takes within the horizon."""
        evidence, labels, n_new = [], [], 0
        for first in range(0, len(requests.users), _BATCH):
            rows = np.arange(first, min(first + _BATCH, len(requests.users)))
            inputs = requests.inputs(data, rows)
            items, _, ages = (torch.from_numpy(array) for array in inputs)
            newest = newest_occurrence(items).bool()
            again = torch.zeros(items.shape, dtype=torch.bool)
            for row, request in enumerate(rows):
                relevant = requests.relevant(data, int(request))
                again[row] = torch.isin(items[row], torch.from_numpy(relevant))
                n_new += len(np.setdiff1d(relevant, inputs.history_items[row]))
            evidence.append(self._evidence(items, ages)[newest])
            labels.append(again[newest])
            run.progress(0.9 * (first + len(rows)) / len(requests.users))
        if not evidence or not torch.cat(labels).any():
            return 1.0
        self.intercept, self.coefficients = logistic(torch.cat(evidence), torch.cat(labels).float(), self.config.ridge)
        return max(n_new, 1) / len(requests.users)

    def forward(self, history_items: Tensor, history_events: Tensor, history_age_days: Tensor) -> Tensor:
        logit = self.intercept + self._evidence(history_items, history_age_days) @ self.coefficients
        log_again = -nn.functional.softplus(-logit)  # log σ; ONNX takes the log of a σ that is rounded to 0
        scores = self._log_new_to(history_items)
        change = log_again - torch.gather(scores, 1, history_items)
        scores = scores.scatter_add(1, history_items, newest_occurrence(history_items) * change)
        unknown = (history_items == 0).all(dim=1, keepdim=True)
        return torch.where(unknown, self.log_popularity, scores)

    def _log_new_to(self, history_items: Tensor) -> Tensor:
        """log(new · newcomers) for each user, float32 (B, n_items + 1), 0 at padding."""
        n_kinds = self.by_leaning.shape[0] - 1
        if not n_kinds:
            return self.log_new.expand(history_items.shape[0], -1)
        shares = leaning(self.kinds, history_items, n_kinds) @ self.by_leaning
        padding = torch.arange(self.n_items + 1, device=shares.device) == 0
        return torch.where(padding, 0.0, torch.log(torch.clamp(shares, min=1e-30)))

    def _evidence(self, items: Tensor, age_days: Tensor) -> Tensor:
        """float32 (B, L, N_EVIDENCE): for each position, what the whole history says of its item."""
        same = (items[:, :, None] == items[:, None, :]).float()  # (B, L, L)
        count = same.sum(dim=2)
        newest = (age_days[:, None, :] + 1e9 * (1.0 - same)).amin(dim=2)
        oldest = (age_days[:, None, :] * same).amax(dim=2)
        several = (count > 1.5).float()
        interval = (oldest - newest) / torch.clamp(count - 1.0, min=1.0)
        overdue = torch.log((newest + 2.0) / (interval + 2.0)) * several
        length = (items > 0).sum(dim=1, keepdim=True).float()
        pace = torch.log(length / (age_days.amax(dim=1, keepdim=True) + 7.0) + 1e-3).expand_as(count)
        log_count, log_age, facts = torch.log(count), torch.log1p(newest), self.facts[items]
        own = [log_count, log_age, overdue, overdue * overdue, several, pace, log_age * several]
        mixed = [facts[:, :, 0] * log_count, log_count * log_count, log_age * log_age]
        faded = [(same * torch.exp2(-age_days / days)[:, None, :]).sum(dim=2) for days in FADES_DAYS]
        counts = [*(torch.log(each + 0.05) for each in faded), *faded]
        return torch.cat([torch.stack([*own, *mixed, *counts], dim=2), facts], dim=2)


@dataclass(frozen=True, slots=True)
class _Earlier:
    ends_of_all: npt.NDArray[np.int64]  # (U,)
    now_ms: int
    requests: Requests


def first_times(data: Interactions) -> npt.NDArray[np.bool_]:
    """bool (N,): the user had the item for the first time."""
    first = np.zeros(len(data), bool)
    first[np.unique(data.users * (data.n_items + 1) + data.items, return_index=True)[1]] = True
    return first


def item_repeat_rates(data: Interactions, prior: float) -> Tensor:
    """float32 (n_items + 1,): log odds that a user of the item had it in a second session, shrunk to the mean."""
    pair = data.items * data.n_users + data.users
    visits = np.unique(pair * (int(data.sessions.max(initial=0)) + 1) + data.sessions)  # distinct (item, user, session)
    pairs, n_sessions = np.unique(visits // (int(data.sessions.max(initial=0)) + 1), return_counts=True)
    items = pairs // data.n_users
    n_users = np.bincount(items, minlength=data.n_items + 1).astype(float)
    n_repeaters = np.bincount(items, n_sessions > 1, data.n_items + 1)
    mean = (n_repeaters.sum() + 1.0) / (n_users.sum() + 2.0)
    rate = (n_repeaters + prior * mean) / (n_users + prior)
    return torch.from_numpy(np.log(rate / (1.0 - np.minimum(rate, 0.999)))).float()


def logistic(features: Tensor, labels: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Intercept and coefficients of a ridge logistic regression, by L-BFGS. features: (N, F); labels: (N,), 0 or 1."""
    mean, spread = features.mean(dim=0), features.std(dim=0)
    spread = torch.where(spread < 1e-3, torch.inf, spread)  # what never varied has no say
    scaled = (features - mean) / spread
    weights = torch.zeros(scaled.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = weights[0] + scaled @ weights[1:]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels) + ridge * (weights[1:] ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    coefficients = (weights[1:] / spread).detach()
    return (weights[0] - (coefficients * mean).sum()).detach(), coefficients
