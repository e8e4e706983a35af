"""What shops tell of items: what the writer answers, and what readers show, or hide, from then on."""

from __future__ import annotations

import pytest

from fusionrec.adapters.memory import FixedClock, MemoryFeatures
from fusionrec.catalogue_answers import similar_items
from fusionrec.contracts.items import ItemAttributes
from fusionrec.errors import BadInputError, StoreUnavailableError
from fusionrec.recommend import Recommender
from tests.suites.live_shop import LIKE_2_AND_9, LiveShop, ask, ids, item
from tests.suites.serving import NOW


def test_similar_items_know_it_in_both_directions(shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    model = shop.models.current()
    of_new = similar_items(model.bundle, model.fresh, "new", "similar", 5)
    assert [(each.item_id, each.score) for each in of_new.item_list] == [("item-02", 1.0), ("item-09", 1.0)]
    near = similar_items(model.bundle, model.fresh, "item-02", "similar", 50)
    assert near.item_list[0].score >= next(each.score for each in near.item_list if each.item_id == "new")
    assert near.item_list == tuple(sorted(near.item_list, key=lambda each: -each.score))
    assert "new" not in [
        e.item_id for e in similar_items(model.bundle, model.fresh, "item-03", "similar", 50).item_list
    ]
    beside = similar_items(model.bundle, model.fresh, "new", "complement", 50).item_list
    expected: dict[str, float] = {}
    for other in ("item-02", "item-09"):
        for each in similar_items(model.bundle, model.fresh, other, "complement", 50).item_list:
            expected[each.item_id] = expected.get(each.item_id, 0.0) + each.score
    assert {each.item_id: each.score for each in beside} == pytest.approx(expected)


def test_what_is_not_available_leaves_slates_and_lists_and_comes_back(use_case, shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    shop.put("new", available=False)
    shop.put("item-02", available=False)
    assert not {"new", "item-02"} & set(ids(ask(use_case)))
    assert len(ask(use_case).item_list) == 9
    model = shop.models.current()
    answer = similar_items(model.bundle, model.fresh, "item-09", "similar", 50)
    assert not {"new", "item-02"} & {each.item_id for each in answer.item_list}
    assert model.bundle.catalogue.unavailable.tolist() == [2, 11]
    shop.put("item-02", available=True)
    assert "item-02" in ids(ask(use_case))


def test_changed_columns_are_shown_at_once(use_case, shop) -> None:
    shop.put("item-02", name="rye, now organic", priceCents=999, category="organic", attributes=["a=b"])
    metadata = item(ask(use_case), "item-02").metadata
    assert (metadata.name, metadata.price_cents, metadata.category) == ("rye, now organic", 999, "organic")
    assert metadata.department == "bakery"
    catalogue = shop.models.current().bundle.catalogue
    assert catalogue.texts("attributes", 2) == ["a=b"]
    assert catalogue.numbers("price_cents")[2] == 999
    codes, values = catalogue.codes("category"), catalogue.values("category")
    assert values[int(codes[2])] == "organic"
    assert [values[int(code)] for code in codes] == [catalogue.text("category", row) for row in range(11)]


def test_the_answer_says_what_was_understood(shop) -> None:
    put = shop.put("new", **LIKE_2_AND_9, description=None, attributes=[" size=small "])
    assert put.metadata.model_dump(exclude_none=True) == {
        "name": "rusk", "category": "bakery rusk", "brand": "brand 1", "price_cents": 250,
    }  # fmt: skip
    assert (put.attributes, put.available, put.in_model, put.recommendable) == (("size=small",), True, False, True)
    assert [each.item_id for each in put.like_items] == ["item-02", "item-09"]
    assert put.updated_at == NOW
    known = shop.put("item-02", priceCents=1)
    assert (known.in_model, known.recommendable, known.like_items) == (True, True, ())


def test_an_item_of_unknown_words_waits_for_training_but_is_known(use_case, shop) -> None:
    put = shop.put("odd", name="xylophone")
    assert (put.recommendable, put.like_items) == (False, ())
    assert "odd" not in ids(ask(use_case))
    assert len(ask(use_case, itemId="odd").item_list) == 10  # its page has a slate
    shop.put("odd", brand="brand 1")  # a second word helps
    assert "odd" in ids(ask(use_case))


def test_the_same_update_again_is_not_even_logged(shop) -> None:
    at = NOW.isoformat()
    first = shop.put("new", **LIKE_2_AND_9, updatedAt=at)
    n_objects = len(shop.objects.bodies)
    assert shop.put("new", **LIKE_2_AND_9, updatedAt=at) == first
    assert shop.put("new", name="older", updatedAt="2026-10-01T00:00:00Z") == first  # came late
    assert len(shop.objects.bodies) == n_objects
    assert shop.put("new", name="newer", updatedAt="2026-11-01T00:00:00.001Z").metadata.name == "newer"


def test_created_is_said_once(shop) -> None:
    given = ItemAttributes.model_validate(LIKE_2_AND_9)
    assert [shop.writer.put("new", given)[1] for _ in range(2)] == [True, False]
    assert not shop.writer.put("item-01", given)[1]


def test_a_time_ahead_is_refused(shop) -> None:
    with pytest.raises(BadInputError, match="more than a day ahead"):
        shop.put("new", name="x", updatedAt="2026-11-03T00:00:00Z")
    assert not shop.objects.bodies


def test_while_the_log_is_away_slates_go_on_and_say_so(use_case, shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    assert "new" in ids(ask(use_case))
    shop.objects.unreachable = True
    answer = ask(use_case)
    assert answer.degraded == ("item_updates",)
    assert "new" in ids(answer)
    with pytest.raises(StoreUnavailableError):
        shop.put("new", name="lost")
    shop.objects.unreachable = False
    shop.models._items._due_at = 0.0  # the half minute has passed
    answer = ask(use_case)
    assert answer.degraded == ()


def test_new_items_are_asked_for_at_most_so_often(toy_bundle, slates) -> None:
    shop = LiveShop(toy_bundle, check_every_s=3600)
    use_case = Recommender(MemoryFeatures(FixedClock(NOW)), shop.models, slates, FixedClock(NOW))
    ask(use_case)
    assert shop.put("new", **LIKE_2_AND_9).recommendable  # its writer reads it at once
    assert "new" not in ids(ask(use_case))
    shop.models._items._due_at = 0.0
    assert "new" in ids(ask(use_case))
