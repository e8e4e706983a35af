"""The catalogue's content for the bundle: what serving needs to embed items that training never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import scipy.sparse as sp

from fusionrec.bundle.catalogue import Column
from fusionrec.bundle.content import Postings
from fusionrec.item_terms import attribute_terms, text_terms
from training.content import rare_terms, term_rarity, unit_rows

TEXTS = ("name", "description")
KINDS = ("category", "department", "brand")


def content_postings(columns: Mapping[str, Column]) -> Postings:
    """From a catalogue's columns, n_items rows; the vectors are those of `training/content.py`."""
    names, descriptions, categories, departments, brands = (
        cast(Sequence[str], columns[name]) for name in (*TEXTS, *KINDS)
    )
    pairs = cast(Sequence[Sequence[str]], columns["attributes"])
    texts = [set[str](), *(text_terms(*row) for row in zip(names, descriptions, strict=True))]
    attributes = [
        set[str](), *(attribute_terms(*row) for row in zip(categories, departments, brands, pairs, strict=True))
    ]  # fmt: skip
    (text_names, text_rarity), (attribute_names, attribute_rarity) = term_rarity(texts), term_rarity(attributes)
    both = unit_rows(sp.hstack([rare_terms(texts), rare_terms(attributes)]).tocsr()).tocsc()
    both.sort_indices()
    return Postings(
        terms=(text_names, attribute_names),
        rarity=np.concatenate([text_rarity, attribute_rarity]),
        starts=both.indptr.astype(np.int64),
        items=both.indices.astype(np.int32),
        values=both.data.astype(np.float32),
    )
