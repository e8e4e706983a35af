"""Items told of after training, on slates and in reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fusionrec.adapters.memory import FixedClock, MemoryFeatures
from fusionrec.feature_spec import USER_PROFILE
from fusionrec.fresh import NEW, SHRINK, Fresh
from fusionrec.reasons import Reasons
from fusionrec.recommend import Recommender
from fusionrec.scoring import Ranking
from fusionrec.transforms import History
from tests.suites.live_shop import LIKE_2_AND_9, ask, ids, item
from tests.suites.serving import NOW, NOW_MS


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


def test_a_new_item_is_not_said_to_be_like_what_was_removed(shop) -> None:
    shop.put("new", **LIKE_2_AND_9)
    model = shop.models.current()
    ranking = Ranking(np.array([11]), np.zeros(1, np.float32), np.zeros((1, 1), np.float32), 0.0, ("ease",))

    def told(*removed: str) -> str:
        return Reasons(model.bundle, model.fresh, History(), np.zeros(0, np.int64), removed).of(ranking, 0)[0]

    nearest = [model.bundle.catalogue.item_id(int(other)) for other in model.fresh.neighbours(11)[0]]
    assert told().startswith("New: like ")
    assert told(nearest[0]) not in ("New", told())
    assert told(*nearest) == "New"
