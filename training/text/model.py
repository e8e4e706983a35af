"""Multinomial logistic regression on hashed n-grams, fitted to how the raters of a text were divided.

Each text is the vector of its features, each 1 / sqrt(n): long and short texts weigh alike. The target is the raters'
distribution, so a text on which they disagreed pulls less than one on which they agreed. The words of the lexicon are
texts of one word: rare words that the other texts lack are known by them, and serving needs no lexicon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import minimize

from fusionrec.text.features import features
from training.text.corpus import PRODUCTS, Corpus, Rated, label_of

N_CLASSES: Final = 3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Chosen by cross-validation over the training reviews."""

    n_buckets: int = 2**16
    l2: float = 0.2
    product_weight: float = 3.0  # a sentence about a product, against one about anything else
    editorial_weight: float = 0.5
    lexicon_weight: float = 0.3
    max_iterations: int = 150
    neutral_offset: float | None = None  # None: chosen on folds of the training reviews


@dataclass(frozen=True, slots=True)
class Linear:
    """weights float64 (n_buckets, 3), bias float64 (3,)."""

    weights: Floats
    bias: Floats

    def logits(self, x: sp.csr_matrix) -> Floats:
        return np.asarray(x @ self.weights + self.bias)


def matrix(texts: Sequence[str], n_buckets: int) -> sp.csr_matrix:
    """float64 (N, n_buckets); features that share a bucket add up, as in the exported graph."""
    rows = [features(text) for text in texts]
    sizes = np.array([len(row) for row in rows])
    columns = np.array([feature % n_buckets for row in rows for feature in row], np.int64)
    values = np.repeat(1.0 / np.sqrt(np.maximum(sizes, 1)), sizes)
    pointers = np.concatenate([[0], np.cumsum(sizes)])
    return sp.csr_matrix((values, columns, pointers), shape=(len(rows), n_buckets))


def fit(corpus: Corpus, config: FitConfig = FitConfig()) -> Linear:
    """Deterministic: the same corpus gives the same weights."""
    texts = [text.text for text in corpus.train] + [word for word, _ in corpus.lexicon]
    x = matrix(texts, config.n_buckets)
    targets = np.vstack([[text.shares for text in corpus.train], [_one_hot(mean) for _, mean in corpus.lexicon]])
    weights = np.array([_weight(text, config) for text in corpus.train] + [config.lexicon_weight] * len(corpus.lexicon))
    offset = config.neutral_offset
    if offset is None:
        offset = _neutral_offset(corpus, x, targets, weights, config)
    model = _solve(x, targets, weights, config)
    return Linear(model.weights, model.bias + np.array([0.0, offset, 0.0]))


def _weight(text: Rated, config: FitConfig) -> float:
    if text.source == PRODUCTS:
        return config.product_weight
    return config.editorial_weight if text.source == "nytEditorialSnippets" else 1.0


def _one_hot(mean: float) -> Floats:
    return np.asarray(np.eye(N_CLASSES)[label_of(mean)])


def _neutral_offset(corpus: Corpus, x: sp.csr_matrix, targets: Floats, weights: Floats, config: FitConfig) -> float:
    """What makes the three classes' mean F1 greatest on reviews that were left out of a fit.

    The model learns shares of raters; where a third call a text neutral, the greatest share is seldom "neutral", and
    the label by the mean often is.
    """
    fold = np.array([_fold(text) for text in corpus.train] + [-1] * len(corpus.lexicon))
    truth = np.array([text.label for text in corpus.train])
    logits = np.zeros((len(corpus.train), N_CLASSES))
    for number in range(2):
        kept, left_out = fold != number, np.flatnonzero(fold == number)
        model = _solve(x[kept], targets[kept], weights[kept], config)
        logits[left_out] = model.logits(x[left_out])
    chosen = np.flatnonzero(fold[: len(truth)] >= 0)
    offsets = np.arange(0.0, 1.51, 0.05)
    scores = [macro_f1((logits[chosen] + [0.0, offset, 0.0]).argmax(axis=1), truth[chosen]) for offset in offsets]
    return float(offsets[int(np.argmax(scores))])


def _fold(text: Rated) -> int:
    """Product reviews in two halves by their number; other texts are always learnt from."""
    return int(text.review) % 2 if text.source == PRODUCTS else -1


def macro_f1(predicted: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    """Mean F1 of the three classes.

    >>> round(macro_f1(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])), 4)  # F1 2/3, 2/3 and 1
    0.7778
    """
    return float(np.mean([f1(predicted, truth, label) for label in range(N_CLASSES)]))


def f1(predicted: npt.NDArray[Any], truth: npt.NDArray[Any], label: int) -> float:
    hits = ((predicted == label) & (truth == label)).sum()
    return float(2 * hits / max((predicted == label).sum() + (truth == label).sum(), 1))


def _solve(x: sp.csr_matrix, targets: Floats, weights: Floats, config: FitConfig) -> Linear:
    """Least weighted cross-entropy plus l2 / 2 of the squared weights."""
    n_weights = x.shape[1] * N_CLASSES
    transposed = x.T.tocsr()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        table, bias = parameters[:n_weights].reshape(-1, N_CLASSES), parameters[n_weights:]
        logits = x @ table + bias
        logits -= logits.max(axis=1, keepdims=True)
        exponents = np.exp(logits)
        sums = exponents.sum(axis=1, keepdims=True)
        value = -(weights[:, None] * targets * (logits - np.log(sums))).sum() + config.l2 / 2 * (table**2).sum()
        errors = weights[:, None] * (exponents / sums - targets)
        return float(value), np.concatenate([(transposed @ errors + config.l2 * table).ravel(), errors.sum(axis=0)])

    start = np.zeros(n_weights + N_CLASSES)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": config.max_iterations}).x
    return Linear(found[:n_weights].reshape(-1, N_CLASSES), found[n_weights:])
