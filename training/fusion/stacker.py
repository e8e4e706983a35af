"""The second stage of the fusion: a small network over the first stage's candidates, with exact Shapley values.

    h_p(i) = φ_p(what part p tells of i, facts of i; user)                       a vector of D numbers a part
    s(i)   = Σ_p [ a_p(i) · own_p(user) + lin_p(user) · told_p(i) + w_p · h_p(i) ] + Σ_{p<q} Σ_d c_d h_pd(i) h_qd(i)

a_p is the first stage's contribution. Parts meet in pairs only, as in a factorisation machine, so the Shapley value of
a part in the game "a part that is left out adds nothing" is its own term and half of each pair that it is in: exact,
at no cost, where a plain network would need 2^P runs. Each φ_p and the linear term depend on the user, so short
histories can lean on other parts than long ones.

source: Rendle 2010, "Factorization Machines", ICDM (pairs); Shapley 1953, "A Value for n-Person Games"; gate as in
        Jacobs et al. 1991, mixtures of experts
limits: interactions of three parts at once cannot be learnt; on Beauty a plain network of the same size had .0006 more
        NDCG@10 on validation (docs/adr/0007)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.fusion.evidence import N_SHARED, Evidence

_FAR = 6.0  # spreads beyond which evidence is cut


@dataclass(frozen=True, slots=True)
class StackerConfig:
    hidden: int = 32
    dim: int = 24  # D
    dropout: float = 0.15


class Stacker(nn.Module):
    """Weights of all parts side by side: (P, inputs, outputs). Means and spreads standardise the evidence."""

    told_mean: Tensor
    told_spread: Tensor
    shared_mean: Tensor
    shared_spread: Tensor
    user_mean: Tensor
    user_spread: Tensor

    def __init__(self, n_parts: int, n_told: int, n_user: int, config: StackerConfig, n_shared: int = N_SHARED) -> None:
        super().__init__()
        hidden, n_inputs = config.hidden, n_told + n_shared
        self.shape = (n_parts, n_told, hidden)
        for name, shape in (("told", (n_parts, 1, n_told)), ("shared", (n_shared,)), ("user", (n_user,))):
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_spread", torch.ones(shape))
        self.gate = nn.Sequential(nn.Linear(n_user, 32), nn.SiLU(), nn.Linear(32, n_parts * (n_told + hidden)))
        self.first = nn.Parameter(torch.randn(n_parts, n_inputs, hidden) / n_inputs**0.5)
        self.first_bias = nn.Parameter(torch.zeros(n_parts, 1, hidden))
        self.second = nn.Parameter(torch.randn(n_parts, hidden, config.dim) / hidden**0.5)
        self.second_bias = nn.Parameter(torch.zeros(n_parts, 1, config.dim))
        self.own = nn.Parameter(torch.zeros(n_parts, config.dim))
        self.pairs = nn.Parameter(torch.zeros(config.dim))
        self.linear = nn.Parameter(torch.zeros(n_parts, n_told))
        self.trust = nn.Parameter(torch.ones(n_parts))  # of the first stage's contribution
        self.dropout = config.dropout
        for parameter in self.gate[2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, evidence: Evidence) -> Tensor:
        """Contributions float32 (B, P, C); their sum over P is the score."""
        alone, h = self.parts(evidence)
        weighted = h * self.pairs
        others = h.sum(dim=1, keepdim=True) - h
        contributions: Tensor = alone + 0.5 * (weighted * others).sum(dim=3)
        return contributions

    def score(self, evidence: Evidence) -> Tensor:
        """The same summed over the parts, float32 (B, C), for less."""
        alone, h = self.parts(evidence)
        total = h.sum(dim=1)
        pairs = torch.matmul(total.square() - h.square().sum(dim=1), self.pairs)
        score: Tensor = alone.sum(dim=1) + 0.5 * pairs
        return score

    def parts(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """What each part adds alone, (B, P, C), and its h, (B, P, C, D)."""
        n_parts, n_told, hidden = self.shape
        told, shared, user = self.standardised(evidence)
        gate = self.gate(user)
        weights = (self.linear.flatten() + gate[:, : n_parts * n_told]).reshape(-1, n_parts, n_told, 1)
        shift = self.first_bias + gate[:, n_parts * n_told :].reshape(-1, n_parts, 1, hidden)
        inputs = torch.cat([told, shared[:, None].expand(-1, n_parts, -1, -1)], dim=3)
        inner = self.thinned(nn.functional.silu(side_by_side(inputs, self.first) + shift))
        h = self.thinned(nn.functional.silu(side_by_side(inner, self.second) + self.second_bias))
        alone = torch.matmul(told, weights) + side_by_side(h, self.own[:, :, None])
        return alone.squeeze(3) + evidence.told[:, :, :, 1] * self.trust[:, None], h

    def thinned(self, inner: Tensor) -> Tensor:
        """Dropout of the same numbers for all candidates of a request: candidates are compared with each other."""
        if not self.training or not self.dropout:
            return inner
        kept = torch.ones(inner.shape[0], inner.shape[1], 1, inner.shape[3], device=inner.device)
        return inner * nn.functional.dropout(kept, self.dropout)

    def standardised(self, evidence: Evidence) -> Evidence:
        return Evidence(
            torch.clamp((evidence.told - self.told_mean) / self.told_spread, -_FAR, _FAR),
            torch.clamp((evidence.shared - self.shared_mean) / self.shared_spread, -_FAR, _FAR),
            torch.clamp((evidence.user - self.user_mean) / self.user_spread, -_FAR, _FAR),
        )

    def learn_scale(self, evidence: Evidence) -> None:
        """Means and spreads from a sample."""
        told, shared, user = (table.float() for table in evidence)
        self.told_mean = told.mean(dim=(0, 2))[:, None]
        self.told_spread = _spread(told.std(dim=(0, 2))[:, None])
        self.shared_mean, self.shared_spread = shared.mean(dim=(0, 1)), _spread(shared.std(dim=(0, 1)))
        self.user_mean, self.user_spread = user.mean(dim=0), _spread(user.std(dim=0, correction=0))


class Ensemble(nn.Module):
    """The mean of stackers from different starts: as additive as they are."""

    def __init__(self, members: list[Stacker]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, evidence: Evidence) -> Tensor:
        total: Tensor = sum(member(evidence) for member in self.members)
        return total / len(self.members)


def side_by_side(inputs: Tensor, weights: Tensor) -> Tensor:
    """Every part's inputs times its own weights: (B, P, C, N) and (P, N, H) -> (B, P, C, H), as P large products."""
    batch, n_parts, n_candidates, n_inputs = inputs.shape
    long = inputs.transpose(0, 1).reshape(n_parts, -1, n_inputs)
    product = torch.bmm(long, weights)
    return product.reshape(n_parts, batch, n_candidates, weights.shape[2]).transpose(0, 1)


def _spread(spread: Tensor) -> Tensor:
    """What never changes is divided by 1: it may change at serving, and must not explode there."""
    return torch.where(spread > 1e-3, spread, 1.0)
