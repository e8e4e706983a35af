from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fusionrec.absorb import Absorber
from fusionrec.active_model import ActiveModel
from fusionrec.adapters.memory import FixedClock, MemoryFeatures, MemorySlates
from fusionrec.contracts.recommendations import RecommendationRequest, Recommendations
from fusionrec.errors import UnknownItemError
from fusionrec.feature_spec import USER_PROFILE
from fusionrec.recommend import Recommender
from fusionrec.stages import Stages
from tests.suites.serving import NOW, NOW_MS, active_model, interaction, recommender

BAKERY = {f"item-{number:02d}" for number in range(1, 6)}  # the first taste of the toy shop


@pytest.fixture(scope="module")
def model(toy_bundle) -> ActiveModel:
    return active_model(toy_bundle)


@pytest.fixture
def users() -> MemoryFeatures:
    return MemoryFeatures(FixedClock(NOW))


@pytest.fixture
def slates() -> MemorySlates:
    return MemorySlates()


@pytest.fixture
def use_case(model, users, slates) -> Recommender:
    return recommender(model, users, slates)


def ask(use_case: Recommender, **fields) -> Recommendations:
    return use_case.recommend(RecommendationRequest.model_validate(fields))


def ids(answer: Recommendations) -> list[str]:
    return [item.item_id for item in answer.item_list]


def absorb(users: MemoryFeatures, *events) -> None:
    Absorber(users, users, FixedClock(NOW)).absorb(events[0].user_id, events)


def test_an_unknown_user_gets_a_cold_start_slate(use_case) -> None:
    answer = ask(use_case, userId="nobody", numResults=5)
    assert len(answer.item_list) == 5
    assert answer.degraded == ()
    assert answer.as_of_event_id is None


def test_what_a_user_did_decides_the_slate(use_case, users) -> None:
    absorb(users, interaction("e1", "item-01"), interaction("e2", "item-02"), interaction("e3", "item-03"))
    answer = ask(use_case, userId="u", numResults=5)
    unbought = [item for item in ids(answer) if item not in ("item-01", "item-02", "item-03")]
    assert unbought[0] in BAKERY
    assert answer.as_of_event_id == "e3"


def test_bought_items_may_come_again(use_case, users) -> None:
    absorb(users, *(interaction(f"e{n}", "item-02", sent_at=NOW_MS - n * 86_400_000) for n in range(1, 5)))
    assert "item-02" in ids(ask(use_case, userId="u", numResults=10))


def test_a_removed_item_leaves_the_slate_until_it_is_wanted_again(use_case, users) -> None:
    absorb(users, interaction("e1", "item-04", "removal", sent_at=NOW_MS - 5))
    answer = ask(use_case, userId="u", numResults=10)
    assert "item-04" not in ids(answer)
    assert len(answer.item_list) == 9
    absorb(users, interaction("e2", "item-04", "cart", sent_at=NOW_MS - 4))
    assert "item-04" in ids(ask(use_case, userId="u", numResults=10))


def test_scenarios_hide_what_is_in_the_cart_or_just_bought(use_case, users) -> None:
    absorb(users, interaction("e1", "item-04", "cart"), interaction("e2", "item-05"))
    assert "item-04" in ids(ask(use_case, userId="u", numResults=10))
    assert "item-04" not in ids(ask(use_case, userId="u", numResults=10, scenario="cart"))
    assert "item-05" in ids(ask(use_case, userId="u", numResults=10, scenario="cart"))
    assert "item-05" not in ids(ask(use_case, userId="u", numResults=10, scenario="email"))


def test_recent_items_and_the_page_count_without_a_stored_history(use_case) -> None:
    cold = ids(ask(use_case, numResults=10))
    assert ids(ask(use_case, recentItemIds=["item-01", "item-02"], numResults=5))[0] in BAKERY
    page = ids(ask(use_case, itemId="item-03", numResults=10))
    assert page[0] in BAKERY
    assert set(page) == {*cold} - {"item-03"}


def test_the_newest_recent_item_is_the_last_one(use_case, slates) -> None:
    ask(use_case, recentItemIds=["item-01", "item-09"], itemId="item-02")
    assert slates.slates[-1]["history"]["item_ids"] == ("item-01", "item-09", "item-02")


def test_an_unknown_page_is_an_error_an_unknown_recent_item_is_not(use_case) -> None:
    with pytest.raises(UnknownItemError, match="'gone'"):
        ask(use_case, itemId="gone")
    assert len(ask(use_case, recentItemIds=["gone", "item-01"], numResults=3).item_list) == 3


def test_an_anonymous_session_has_its_own_state(use_case, users) -> None:
    absorb(users, interaction("e1", "item-01", user_id="session:s1"))
    assert ask(use_case, sessionId="s1").as_of_event_id == "e1"
    assert ask(use_case, userId="s1").as_of_event_id is None


def test_contributions_sum_to_the_score_and_come_only_when_asked_for(use_case) -> None:
    for item in ask(use_case, recentItemIds=["item-01"], explain=True).item_list:
        assert set(item.contributions) == {"base", "popularity", "ease", "attention"}
        assert_allclose(sum(item.contributions.values()), item.score, atol=1e-4)
    assert ask(use_case).item_list[0].contributions is None


def test_an_unreachable_store_degrades_and_says_so(use_case, users) -> None:
    users.unreachable |= {"user_profile", "user_session"}
    answer = ask(use_case, userId="u", recentItemIds=["item-01"], numResults=5)
    assert answer.degraded == ("user_profile", "user_session")
    assert ids(answer)[0] in BAKERY  # what the request itself says still counts


def test_a_broken_graph_falls_back_to_popularity(model, users, slates, toy_bundle) -> None:
    class Broken:
        def top(self, *_):
            raise RuntimeError("graph")

    bundle = model.current().bundle

    class Models:
        def current(self):
            return replace(model.current(), scorer=Broken())

    answer = ask(Recommender(users, Models(), slates, FixedClock(NOW)), userId="u", excludeItemIds=["item-01"])
    popular = np.argsort(-bundle.popularity[1:], kind="stable") + 1
    expected = [bundle.catalogue.item_id(index) for index in popular.tolist()]
    assert answer.degraded == ("ranker",)
    assert ids(answer) == [item for item in expected if item != "item-01"]


def test_no_time_for_the_graph_falls_back_and_recovers(use_case) -> None:
    ask(use_case)
    use_case._rank_ms = 1500.0  # as after a very slow moment
    assert ask(use_case, budgetMs=1000).degraded == ("ranker",)
    answers = [ask(use_case, budgetMs=1000).degraded for _ in range(10)]
    assert answers[-1] == ()


def test_one_slow_ranking_does_not_shut_the_graph_out(model, users, slates) -> None:
    class Time:
        """A clock whose first ranking takes longer than the whole budget."""

        def __init__(self):
            self.spent = iter([0, 1200, *[0, 5] * 5])

        def now(self):
            return NOW

        def deadline(self, budget_ms):
            spent = self.spent
            return type("Deadline", (), {"remaining_ms": lambda _: budget_ms - next(spent)})()

    use_case = Recommender(users, model, slates, Time())
    assert [ask(use_case).degraded for _ in range(5)] == [()] * 5


def test_a_log_that_is_away_does_not_cost_the_answer(model, users) -> None:
    class Broken:
        def record(self, slate):
            raise OSError("disk full")

    assert ask(Recommender(users, model, Broken(), FixedClock(NOW))).item_list


def test_the_slate_log_replays_the_slate(use_case, users, slates) -> None:
    absorb(users, interaction("e1", "item-01"), interaction("e2", "item-07", "removal"))
    answer = ask(use_case, userId="u", numResults=4)
    record = slates.slates[-1]
    assert record["recommendation_id"] == answer.recommendation_id
    assert record["item_ids"] == ids(answer)
    assert record["propensities"] == [1.0] * 4
    assert record["removed_item_ids"] == ["item-07"]
    assert record["history"]["item_ids"] == ("item-01", "item-07")
    assert record["request"] == {"userId": "u", "numResults": 4}


def test_live_events_join_the_profile(use_case, users, slates) -> None:
    profile = {"history_item_ids": ["item-09"], "history_event_types": ["purchase"], "history_sent_at": [NOW_MS - 99]}
    users.put(USER_PROFILE, "u", profile, NOW_MS)
    absorb(users, interaction("e1", "item-01"))
    ask(use_case, userId="u")
    assert set(slates.slates[-1]["history"]["item_ids"]) == {"item-09", "item-01"}


def test_every_stage_is_timed(use_case) -> None:
    stages = Stages()
    use_case.recommend(RecommendationRequest(), stages)
    assert list(stages.durations_ms) == ["model", "features", "eligible", "rank", "rerank", "answer", "log"]
    assert stages.server_timing.split(", ")[-1].startswith("total;dur=")


def test_diversity_brings_other_categories_forward(use_case) -> None:
    plain = ask(use_case, recentItemIds=["item-01"], numResults=5)
    spread = ask(use_case, recentItemIds=["item-01"], numResults=5, diversity=1.0)
    assert len({item.metadata.category for item in spread.item_list}) >= len(
        {item.metadata.category for item in plain.item_list}
    )


def test_no_reason_names_what_was_removed_since(use_case, users) -> None:
    """Bought, and taken back: no longer something that the shopper has."""
    absorb(users, interaction("e0", "item-02", "view", sent_at=NOW_MS - 9900))
    for number in range(3):
        absorb(users, interaction(f"e1{number}", "item-01", "purchase", sent_at=NOW_MS - 9000 + number))
    told = [reason for item in ask(use_case, userId="u").item_list for reason in item.reasons]
    assert any("oat 1," in reason for reason in told)
    absorb(users, interaction("e2", "item-01", "removal", sent_at=NOW_MS - 8000))
    told = [reason for item in ask(use_case, userId="u").item_list for reason in item.reasons]
    assert not any("oat 1," in reason for reason in told)
