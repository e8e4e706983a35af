"""Items whose texts mean the same, by a sentence encoder (`training/sentences.py`). Places items that nobody had.

    e_i = text vector of i, less the mean of all, of unit length: what all texts of a shop share says nothing
    W[h, j] = max(e_h · e_j, 0)^power, the `n_neighbours` largest of a row, j ≠ h

source: Reimers & Gurevych 2019, "Sentence-BERT", EMNLP; removing the mean: Mu & Viswanath 2018, "All-but-the-Top", ICLR
limits: knows nothing of what users do; needs texts and vectors of them (without, it scores 0). Compares all pairs of
        items, a thousand rows at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from training.interactions import Interactions
from training.models.protocol import QUIET, Run
from training.models.sparse_rows import Fading, SparseRows, strongest

_BLOCK = 1024  # rows that are compared at a time


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    n_neighbours: int = 100
    power: float = 1.0
    fading: Fading = field(default_factory=Fading)


class Encoder(SparseRows):
    name: ClassVar[str] = "encoder"

    def __init__(self, n_items: int, config: EncoderConfig | None = None) -> None:
        self.config = config or EncoderConfig()
        super().__init__(n_items, self.config.fading)

    def fit(self, data: Interactions, now_ms: int, run: Run = QUIET) -> Self:
        if data.vectors is not None:
            centred = torch.from_numpy(without_mean(data.vectors))
            head = np.flatnonzero(centred.any(dim=1).numpy())
            n = max(1, min(self.config.n_neighbours, self.n_items - 1))
            weights, neighbours = torch.zeros(len(head), n), torch.zeros(len(head), n, dtype=torch.int64)
            for first in range(0, len(head), _BLOCK):
                rows = torch.from_numpy(head[first : first + _BLOCK])
                cosine = centred[rows] @ centred.T
                cosine[torch.arange(len(rows)), rows] = 0.0
                best, columns = strongest(cosine, n)
                weights[first : first + _BLOCK], neighbours[first : first + _BLOCK] = best**self.config.power, columns
                run.progress((first + len(rows)) / len(head))
            self.keep(head, neighbours, weights)
        run.progress(1.0)
        return self


def without_mean(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Unit rows less the mean of those that are there; zero rows stay zero."""
    real = np.flatnonzero(np.abs(vectors).sum(axis=1))
    centred = np.zeros_like(vectors)
    centred[real] = vectors[real] - vectors[real].mean(axis=0) if len(real) else 0.0
    size = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(size > 1e-6, size, np.inf), np.float32)
