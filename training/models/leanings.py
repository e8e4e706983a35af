"""What users lean to, by the kinds of items in their recent history, and what users of each leaning turn to.

    kind(i)    cluster of the item's words and attributes, 1..S; 0 = nothing is said of it
    π_s(u)   = Σ_h 2^(-b_h / T) [kind(h) = s] / Σ_h 2^(-b_h / T),   b_h = events since h
    P_s(i)   = (Σ_n w_n π_s(user of n before n) [item of n = i] + m P(i)) / (Σ_n w_n π_s(user of n before n) + m)
    P(i | u) = Σ_s π_s(u) P_s(i),   P_0 = P

A user belongs to all segments in part, as its history does to the kinds; so nothing jumps when one event is added,
and a request needs nothing but the history. w_n: the interaction's faded weight, m: `prior`.

source: a mixture of shares as in Hofmann 2004, "Latent Semantic Models for Collaborative Filtering", TOIS 22, whose
        topics are given here, not learnt; k-means++: Arthur & Vassilvitskii 2007, SODA
limits: needs words or attributes (without: all items are of kind 0, and everybody gets P); a table of S rows of the
        catalogue.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from scipy.cluster.vq import kmeans2
from scipy.signal import lfilter
from torch import Tensor

from training.interactions import IntArray, Interactions
from training.models.factors import content_factors

FADE_EVENTS: Final = 20.0  # T, half-life of an event's say
_N_FACTORS: Final = 32
_BLOCK: Final = 200_000  # interactions that are looked at together


def item_kinds(data: Interactions, n_kinds: int) -> IntArray:
    """Kinds int64 (n_items + 1,), 1..n_kinds; 0 at padding and where the catalogue says nothing."""
    kinds = np.zeros(data.n_items + 1, np.int64)
    if data.content is None:
        return kinds
    places = content_factors(data.content, _N_FACTORS).numpy()
    size = np.linalg.norm(places, axis=1)
    told = np.flatnonzero(size > 1e-6)
    if len(told) > n_kinds:
        unit = (places[told] / size[told, None]).astype(np.float64)
        kinds[told] = kmeans2(unit, n_kinds, minit="++", rng=np.random.default_rng(0))[1] + 1
    return kinds


def shares_by_leaning(
    data: Interactions, kinds: IntArray, weights: npt.NDArray[np.float64], shares: Tensor, prior: float
) -> Tensor:
    """P_s, float32 (S + 1, n_items + 1), row 0 = shares. weights: (N,); shares: float32 (n_items + 1,), sum 1"""
    n_kinds = int(kinds.max(initial=0))
    counts = np.zeros((data.n_items + 1, n_kinds + 1))
    for first, last in _blocks(data):
        events = slice(data.offsets[first], data.offsets[last])
        taken = sp.csr_matrix(
            (weights[events], (data.items[events], np.arange(events.stop - events.start))),
            shape=(data.n_items + 1, events.stop - events.start),
        )
        counts += taken @ np.concatenate([_before(kinds[data.items[cut]], n_kinds) for cut in _cuts(data, first, last)])
    counts[:, 0] = 0.0  # no leaning: the shares of all
    table = (counts.T + prior * shares.numpy()) / (counts.sum(axis=0)[:, None] + prior)
    return torch.from_numpy(table).float()


def leaning(kinds: Tensor, history_items: Tensor, n_kinds: int) -> Tensor:
    """π, float32 (B, S + 1), zero for an empty history. kinds: int64 (n_items + 1,); history_items: int64 (B, L)"""
    length = history_items.shape[1]
    back = torch.arange(length - 1, -1, -1, device=history_items.device)
    say = torch.exp2(-back / FADE_EVENTS) * (history_items > 0).float()  # (B, L)
    empty = torch.zeros(history_items.shape[0], n_kinds + 1, device=history_items.device)
    total = empty.scatter_add(1, kinds[history_items], say)
    return total / torch.clamp(say.sum(dim=1, keepdim=True), min=1e-9)


def _before(kinds: IntArray, n_kinds: int) -> npt.NDArray[np.float64]:
    """π before each event of one user, (n, S + 1); zero before the first. kinds: (n,), of the events' items"""
    said = np.eye(n_kinds + 1)[kinds]
    total = lfilter([0.0, 1.0], [1.0, -(2.0 ** (-1.0 / FADE_EVENTS))], said, axis=0)
    return np.asarray(total / np.maximum(total.sum(axis=1, keepdims=True), 1e-9))


def _blocks(data: Interactions) -> list[tuple[int, int]]:
    """Users first:last, whose interactions together are about `_BLOCK`."""
    n_blocks = max(1, len(data) // _BLOCK)
    wanted = np.linspace(0, len(data), n_blocks + 1)
    edges = np.unique(np.searchsorted(data.offsets, wanted))
    edges[-1] = data.n_users
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _cuts(data: Interactions, first: int, last: int) -> list[slice]:
    return [slice(data.offsets[user], data.offsets[user + 1]) for user in range(first, last)]
