"""What serving embeds is what training embedded: no skew, to the last digit that matters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from fusionrec.bundle.catalogue import Catalogue
from fusionrec.bundle.content import Content, write_content
from fusionrec.bundle.live import LiveCatalogue
from fusionrec.fresh import embedded
from fusionrec.item_log import Stamped
from fusionrec.item_terms import attribute_terms, text_terms
from training.content import rare_terms, unit_rows
from training.content_index import content_postings
from training.models.content import Content as ContentPart
from training.models.content import ContentConfig
from training.shop import two_taste_shop

N_ITEMS = 37
WORDS = ("oat", "rye", "fig", "Müsli", "mint", "leek", "kale", "pear", "bean", "corn")


def columns(seed: int = 0) -> dict[str, list]:
    rng = np.random.default_rng(seed)

    def phrase(n: int) -> str:
        return " ".join(rng.choice(WORDS, rng.integers(0, n)).tolist())

    return {
        "name": [phrase(5) for _ in range(N_ITEMS)],
        "description": [phrase(9) for _ in range(N_ITEMS)],
        "category": [f"aisle {rng.integers(0, 9)}" if row % 5 else "" for row in range(N_ITEMS)],
        "department": [f"floor {rng.integers(0, 7)}" for _ in range(N_ITEMS)],
        "brand": ["" if row % 3 else f"brand {rng.integers(0, 6)}" for row in range(N_ITEMS)],
        "attributes": [[f"size={rng.integers(0, 8)}"] * int(rng.integers(0, 2)) for _ in range(N_ITEMS)],
    }


def as_training_embeds(given: dict[str, list]) -> sp.csr_matrix:
    rows = range(N_ITEMS)
    texts = [set(), *(text_terms(given["name"][row], given["description"][row]) for row in rows)]
    kinds = [
        set(),
        *(attribute_terms(*(given[n][row] for n in ("category", "department", "brand", "attributes"))) for row in rows),
    ]
    return unit_rows(sp.hstack([rare_terms(texts), rare_terms(kinds)]).tocsr())


@pytest.fixture
def content(tmp_path) -> Content:
    write_content(tmp_path / "content", content_postings(columns()))
    return Content.load(tmp_path / "content", N_ITEMS)


def embed(content: Content, given: dict[str, list], row: int):
    kinds = (given[name][row] for name in ("category", "department", "brand", "attributes"))
    return content.embed(text_terms(given["name"][row], given["description"][row]), attribute_terms(*kinds))


def test_a_known_item_gets_the_very_vector_of_training(content) -> None:
    given = columns()
    expected = as_training_embeds(given)
    assert expected.nnz > 5 * N_ITEMS
    for row in range(N_ITEMS):
        found, values = embed(content, given, row)
        sorted_row = expected[row + 1].sorted_indices()
        assert_array_equal(found, sorted_row.indices)
        assert_allclose(values, sorted_row.data, rtol=1e-6)


def test_cosines_are_those_of_the_content_part_in_the_graph(content) -> None:
    given = columns()
    data = two_taste_shop(users=6, items=10).interactions
    part = ContentPart(N_ITEMS, ContentConfig(n_neighbours=N_ITEMS - 1))
    part.fit(replace(data, n_items=N_ITEMS, content=as_training_embeds(given)), 0)
    rows, neighbours, weights = (array.numpy() for array in (part.row_of, part.neighbours, part.weights))
    for row in range(1, N_ITEMS + 1):
        cosines = content.cosines(*embed(content, given, row - 1))
        kept = neighbours[rows[row]] > 0
        assert_allclose(cosines[neighbours[rows[row]][kept]], weights[rows[row]][kept], atol=1e-6)
        assert kept.sum() == ((cosines > 1e-9) & (np.arange(N_ITEMS + 1) != row)).sum()


def test_the_nearest_come_first_and_ties_by_index(content) -> None:
    vector = embed(content, columns(), 4)
    cosines = content.cosines(*vector)
    found, alike = content.nearest(*vector, 6, 0.05)
    expected = sorted((i for i in range(1, N_ITEMS + 1) if cosines[i] >= 0.05), key=lambda i: (-cosines[i], i))[:6]
    assert found.tolist() == expected
    assert found[0] == 5
    assert_allclose(alike, cosines[found], rtol=1e-6)
    assert len(content.nearest(*vector, 6, 1.1)[0]) == 0


def test_an_item_of_unknown_words_alone_is_like_nothing(content) -> None:
    found, values = content.embed({"xylophone"}, {"brand=nobody"})
    assert len(found) == len(values) == 0
    assert len(content.nearest(found, values, 5, 0.1)[0]) == 0


def test_the_path_of_an_update_embeds_as_training_does(toy_bundle, tmp_path) -> None:
    """A known item told of again under another id, through the live catalogue, is exactly like itself."""
    base = Catalogue.load(toy_bundle / "catalogue")
    known = 2
    told = {name: base.text(name, known) for name in ("name", "category", "department", "brand", "description")}
    item = {name: Stamped(value, 1, 1) for name, value in told.items()}
    item["attributes"] = Stamped(tuple(base.texts("attributes", known)), 1, 1)
    live = LiveCatalogue(base, 0).with_updates({"twin": item})
    content = Content.load(toy_bundle / "content", base.n_items)
    for of_twin, of_known in zip(
        embedded(content, live, live.index("twin")), embedded(content, base, known), strict=True
    ):
        assert_array_equal(of_twin, of_known)
