"""Items told of after training: on slates, in reasons, in lists of similar items, and gone when they are sold out."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemoryLog, MemorySink, MemorySlates
from fusionrec.catalogue_answers import similar_items
from fusionrec.contracts.events import EventsAnswer, EventsRequest
from fusionrec.contracts.items import ItemAttributes
from fusionrec.contracts.recommendations import RecommendationRequest, Recommendations
from fusionrec.errors import BadInputError, StoreUnavailableError
from fusionrec.feature_spec import USER_PROFILE
from fusionrec.fresh import NEW, SHRINK, Fresh
from fusionrec.ingest import Ingester
from fusionrec.item_log import segment
from fusionrec.live_items import AT_ONCE_EVERY_S
from fusionrec.reasons import Reasons
from fusionrec.recommend import Recommender
from fusionrec.scoring import Ranking
from fusionrec.transforms import History
from tests.suites.item_objects import CountingObjects
from tests.suites.live_shop import LiveShop
from tests.suites.serving import NOW, NOW_MS

LIKE_2_AND_9 = {"name": "rusk", "brand": "brand 1", "category": "bakery rusk", "priceCents": 250}


@pytest.fixture
def shop(toy_bundle) -> LiveShop:
    return LiveShop(toy_bundle)


@pytest.fixture
def slates() -> MemorySlates:
    return MemorySlates()


@pytest.fixture
def use_case(shop, slates) -> Recommender:
    return Recommender(MemoryFeatures(FixedClock(NOW)), shop.models, slates, FixedClock(NOW))


def ask(use_case: Recommender, **fields) -> Recommendations:
    given = {"recentItemIds": ["item-01", "item-03"], "numResults": 20, **fields}
    return use_case.recommend(RecommendationRequest.model_validate(given))


def ids(answer: Recommendations) -> list[str]:
    return [item.item_id for item in answer.item_list]


def item(answer: Recommendations, item_id: str):
    return next(item for item in answer.item_list if item.item_id == item_id)


def test_the_next_slate_of_another_container_has_it_and_the_rest_as_before(use_case, shop) -> None:
    before = ids(ask(use_case))
    shop.put("new", **LIKE_2_AND_9)
    after = ids(ask(use_case))
    assert [item_id for item_id in after if item_id != "new"] == before
    assert before.index("item-02") < after.index("new")


@pytest.mark.parametrize("recent", [["item-04", "item-05"], ["item-01"], ["item-08", "item-10"]])
def test_it_stands_where_the_formula_says(use_case, shop, recent) -> None:
    """Two items of cosine 1, at ranks r and s: 1 / (1 + rank) = (1 / (1 + r) + 1 / (1 + s)) / (2 + SHRINK)."""
    before = ask(use_case, recentItemIds=recent)
    shop.put("new", **LIKE_2_AND_9)
    heights = [1 / (1 + ids(before).index(item_id)) for item_id in ("item-02", "item-09")]
    rank = min((2 + SHRINK) / sum(heights) - 1, 9)
    expected = np.interp(rank, np.arange(10), [each.score for each in before.item_list])
    assert item(ask(use_case, recentItemIds=recent), "new").score == pytest.approx(expected, abs=1e-5)


def test_contributions_add_up_and_say_what_being_new_takes_off(use_case, shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    answer = ask(use_case, explain=True)
    for each in answer.item_list:
        assert sum(each.contributions.values()) == pytest.approx(each.score, abs=1e-5)
        assert (NEW in each.contributions) == (each.item_id == "new")
    assert item(answer, "new").contributions[NEW] < 0


def test_it_is_explained_by_what_the_shopper_turned_to(use_case, shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    assert item(ask(use_case), "new").reasons == ("New: like rye 2",)
    assert item(ask(use_case, recentItemIds=["item-09"]), "new").reasons == ("New: like bean 9, which you looked at",)
    shop.put("new", name="rye 2")
    assert item(ask(use_case), "new").reasons == ("New: like bean 9",)  # not "like itself"


@pytest.mark.parametrize("fields", [{"excludeItemIds": ["new"]}, {"itemId": "new"}])
def test_what_hides_items_hides_it(use_case, shop, fields) -> None:
    shop.put("new", **LIKE_2_AND_9)
    assert "new" not in ids(ask(use_case, **fields))


def test_a_shopper_who_removed_it_does_not_see_it(shop, slates) -> None:
    shop.put("new", **LIKE_2_AND_9)
    shopper = History(("new",), ("removal",), (NOW_MS - 5,))
    users = MemoryFeatures(FixedClock(NOW))
    row = {
        "history_item_ids": list(shopper.item_ids),
        "history_event_types": ["removal"],
        "history_sent_at": [NOW_MS - 5],
    }
    users.put(USER_PROFILE, "u", row, NOW_MS)
    answer = ask(Recommender(users, shop.models, slates, FixedClock(NOW)), userId="u")
    assert "new" not in ids(answer)
    assert len(answer.item_list) == 10


def test_alone_it_is_still_shown(use_case, shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    everything = [f"item-{n:02d}" for n in range(1, 11)]
    assert ids(ask(use_case, excludeItemIds=everything, explain=True)) == ["new"]


def test_diversity_sees_its_category(use_case, shop) -> None:
    shop.put("new", **{**LIKE_2_AND_9, "category": "bakery fig"})  # that of item-03
    rows = np.array([11, 3, 2])
    codes = shop.models.current().bundle.catalogue.codes_of("category", rows)
    assert codes[0] == codes[1] != codes[2]
    shop.put("newer", **{**LIKE_2_AND_9, "category": "bakery rusk"})  # nobody else's: it comes before
    spread = ids(ask(use_case, diversity=1.0))
    assert spread.index("newer") < spread.index("new")
    shop.put("new", category="something else")
    shop.put("newer", category="bakery fig")
    codes = shop.models.current().bundle.catalogue.codes_of("category", rows)
    assert len(set(codes.tolist())) == 3
    spread = ids(ask(use_case, diversity=1.0))
    assert spread.index("new") < spread.index("newer")


def test_without_the_graph_it_joins_the_popular_ones(use_case, shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    broken = replace(shop.models.current(), scorer=None)
    use_case.models = type("Models", (), {"current": lambda self: broken})()
    answer = ask(use_case)
    assert answer.degraded == ("ranker",)
    assert "new" in ids(answer)


def test_looking_at_it_counts_as_looking_at_what_it_is_most_like(use_case, shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    alike = ask(use_case, recentItemIds=["item-02"])
    found = ask(use_case, recentItemIds=["new"])
    assert [each.score for each in found.item_list] == [each.score for each in alike.item_list]
    assert ids(ask(use_case, recentItemIds=["gone", "new"])) == ids(found)


def test_events_on_it_are_accepted(shop) -> None:
    sink = MemorySink()
    ingester = Ingester(sink, MemoryLog(), MemoryFeatures(FixedClock(NOW)), shop.models, FixedClock(NOW))
    event = {"eventId": "e", "eventType": "view", "itemId": "new", "sentAt": NOW.isoformat()}
    request = EventsRequest.model_validate({"sessionId": "s", "eventList": [event]})
    assert ingester.ingest(request).rejected[0].code == "unknown-item"
    shop.put("new", **LIKE_2_AND_9)
    assert ingester.ingest(request).accepted == 1
    assert [taken.item_id for taken in sink.taken] == ["new"]


class TestEventsOnAnItemToldOfJustNow:
    """In a function that looks for new items every hour, or whose last look failed."""

    @pytest.fixture
    def shop(self, toy_bundle) -> LiveShop:
        shop = LiveShop(toy_bundle, CountingObjects(), check_every_s=3600)
        shop.models.current()
        return shop

    @pytest.fixture
    def sink(self) -> MemorySink:
        return MemorySink()

    @pytest.fixture
    def send(self, shop, sink):
        ingester = Ingester(sink, MemoryLog(), MemoryFeatures(FixedClock(NOW)), shop.models, FixedClock(NOW))

        def send(*items: str) -> EventsAnswer:
            events = [
                {"eventId": f"e{n}", "eventType": "view", "itemId": item, "sentAt": NOW.isoformat()}
                for n, item in enumerate(items)
            ]
            time.sleep(AT_ONCE_EVERY_S)
            return ingester.ingest(EventsRequest.model_validate({"sessionId": "s", "eventList": events}))

        return send

    def test_are_taken(self, shop, send) -> None:
        shop.put("new", **LIKE_2_AND_9)
        assert send("new", "item-01").accepted == 2

    def test_on_a_known_item_cost_no_look_at_the_log(self, shop, send) -> None:
        shop.objects.asked.clear()
        send("item-01")
        assert shop.objects.asked == []

    def test_nor_does_a_long_file_of_unknown_ones_cost_a_look_a_row(self, shop) -> None:
        shop.objects.asked.clear()
        ended = time.monotonic() + 10 * AT_ONCE_EVERY_S
        while time.monotonic() < ended:
            shop.models.current(items_at_once=True)
        assert 0 < shop.objects.asked.count(segment(1)) <= 11

    def test_come_again_while_the_log_is_away_and_then_count(self, shop, send, sink) -> None:
        shop.put("new", **LIKE_2_AND_9)
        shop.objects.unreachable = True
        for _ in range(2):
            with pytest.raises(StoreUnavailableError) as caught:
                send("item-01", "new")
            assert caught.value.told.startswith("whether there is an item 'new' cannot be told now")
        assert not sink.taken
        shop.objects.unreachable = False
        with pytest.raises(StoreUnavailableError):
            send("new")  # asked in vain a moment ago: not asked again
        shop.models._items._not_before = 0.0  # a second later, long before the half minute has passed
        assert send("item-01", "new").accepted == 2

    def test_are_refused_when_the_log_says_that_there_is_none(self, shop, send) -> None:
        assert [row.code for row in send("gone", "item-01").rejected] == ["unknown-item"]

    def test_on_known_items_are_taken_though_the_log_is_away(self, shop, send) -> None:
        shop.objects.unreachable = True
        assert send("item-01").accepted == 1


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


def test_many_new_items_give_the_best_of_them() -> None:
    """A ranking of 3, and 600 items that are like the first, the second or none of them."""
    near = np.zeros((600, 10), np.int64)
    near[:, 0] = np.arange(600) % 3
    cosines = np.where(near > 0, 1.0, 0.0).astype(np.float32)
    ranking = Ranking(
        np.array([2, 1, 4]), np.array([-1.0, -2.0, -5.0], np.float32),
        np.array([[1.0, 1], [0, 1], [-1, -1]], np.float32), -3.0, ("a", "b"),
    )  # fmt: skip
    joined = Fresh(5, near, cosines).joined(ranking, np.ones(606, bool))
    assert len(joined.items) == 3 + 256
    assert len(set(joined.items.tolist())) == 3 + 256
    assert np.all(np.diff(joined.scores) <= 0)
    assert_allclose(joined.base + joined.contributions.sum(axis=1), joined.scores, atol=1e-5)
    assert set(near[joined.items[joined.items > 5] - 6, 0].tolist()) == {1, 2}
    assert joined.parts == ("a", "b", NEW)


def test_nothing_new_leaves_the_ranking_alone() -> None:
    ranking = Ranking(np.array([1]), np.zeros(1, np.float32), np.zeros((1, 1), np.float32), 0.0, ("a",))
    assert Fresh.none(5).joined(ranking, np.ones(6, bool)) is ranking
    assert_array_equal(Fresh.none(5).stand_ins(np.array([0, 3])), [0, 3])


def test_a_reason_needs_likeness(shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    model = shop.models.current()
    faint = replace(model.fresh, cosines=model.fresh.cosines * 0.2)
    ranking = Ranking(np.array([11]), np.zeros(1, np.float32), np.zeros((1, 1), np.float32), 0.0, ("ease",))
    assert Reasons(model.bundle, faint, History(), np.zeros(0, np.int64)).of(ranking, 0) == ("New",)
