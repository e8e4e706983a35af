"""What the catalogue says of its items, as vectors: words and attributes, weighted by how rare they are.

Two blocks, each of unit length, side by side: texts (words and pairs of neighbouring words of name and description)
and attributes (category, department, brand, attributes). The cosine of two rows says how alike two items are, also of
items that nobody touched. The order of the columns depends on the terms only, never on the order of the rows.

source: Sparck Jones 1972, "A statistical interpretation of term specificity", Journal of Documentation 28
limits: exact terms, no synonyms; a term of one item only, or of more than `MAX_SHARE` of them, is left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from fusionrec.item_terms import attribute_terms, text_terms
from training.data.dataset import Dataset
from training.interactions import Vocabulary

MAX_SHARE: Final = 0.2
_TEXTS: Final = ("name", "description")
_NAMES: Final = ("category", "department", "brand")


def item_content(dataset: Dataset, vocabulary: Vocabulary) -> sp.csr_matrix | None:
    """Rows of unit length float32 (n_items + 1, F), zero for padding and for items without words; None: no words."""
    columns = {name: dataset.items[name].to_pylist() for name in ("item_id", *_TEXTS, *_NAMES, "attributes")}
    index = vocabulary.index()
    texts: list[set[str]] = [set() for _ in range(len(vocabulary) + 1)]
    attributes: list[set[str]] = [set() for _ in range(len(vocabulary) + 1)]
    for row, item_id in enumerate(columns["item_id"]):
        place = index[item_id]
        name, description = (columns[column][row] or "" for column in _TEXTS)
        category, department, brand = (columns[column][row] or "" for column in _NAMES)
        texts[place] |= text_terms(name, description)
        attributes[place] |= attribute_terms(category, department, brand, columns["attributes"][row] or ())
    both = unit_rows(sp.hstack([rare_terms(texts), rare_terms(attributes)]).tocsr())
    return both if both.nnz else None


def term_rarity(
    documents: Sequence[set[str]], max_share: float = MAX_SHARE
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The terms that count, sorted, and what each weighs: log(n / documents with the term)."""
    counts = Counter(term for document in documents for term in document)
    most = max(max_share * len(documents), 2)
    terms = sorted(term for term, n in counts.items() if 2 <= n <= most)
    return terms, np.log(len(documents) / np.array([counts[term] for term in terms], np.float32)).astype(np.float32)


def rare_terms(documents: Sequence[set[str]], max_share: float = MAX_SHARE) -> sp.csr_matrix:
    """Unit rows float32 (n, n_terms): the rarity of the terms that a document has."""
    names, rarity = term_rarity(documents, max_share)
    terms = {term: place for place, term in enumerate(names)}
    rows = [sorted(terms[term] for term in document if term in terms) for document in documents]
    columns = np.array([column for row in rows for column in row], np.int64)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return unit_rows(sp.csr_matrix((rarity[columns], columns, starts), shape=(len(documents), len(terms))))


def unit_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Each row divided by its length; zero rows stay."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = sp.diags((1.0 / np.where(length > 0, length, 1.0)).astype(np.float32))
    return sp.csr_matrix(scale @ matrix)


def content_hash(content: sp.csr_matrix | None) -> str:
    """Fingerprint of the vectors, for the key of what was learnt from them."""
    if content is None:
        return "none"
    digest = hashlib.sha256()
    for array in (content.data, content.indices, content.indptr):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
