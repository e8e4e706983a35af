"""Parts that know each item by a vector: how alike two items are is the cosine of theirs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.models.protocol import Part


class VectorPart(Part):
    """Buffer `vectors` float32 (n_items + 1, D), zero at padding and for items that it did not learn."""

    n_strengths: ClassVar[int] = 1
    vectors: Tensor

    def __init__(self, n_items: int, dim: int) -> None:
        super().__init__()
        self.n_items = n_items
        self.register_buffer("vectors", torch.zeros(n_items + 1, dim))

    def item_vectors(self) -> npt.NDArray[np.float32]:
        """float32 (n_items + 1, D); zero for padding and for items that it did not learn."""
        vectors: npt.NDArray[np.float32] = self.vectors.numpy()
        return vectors

    def between(self, recent: Tensor, candidates: Tensor) -> Tensor:
        """Cosine of the items' vectors."""
        return cosines(self.vectors, recent, candidates)


def cosines(vectors: Tensor, recent: Tensor, candidates: Tensor) -> Tensor:
    """float32 (B, 1, R, C), for int64 (B, R) and (B, C); zero vectors have cosine 0 with all others."""
    of_recent, of_candidates = (unit(vectors[items]) for items in (recent, candidates))
    return torch.einsum("brd,bcd->brc", of_recent, of_candidates)[:, None]


def unit(vectors: Tensor) -> Tensor:
    """Divided by their lengths, (..., D); zero stays zero."""
    return vectors / torch.clamp(vectors.square().sum(dim=-1, keepdim=True).sqrt(), min=1e-9)
