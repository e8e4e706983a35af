import numpy as np

from fusionrec.filters.eligibility import SCENARIOS, Scenario, hidden_items, mask, removed_items
from fusionrec.transforms import History

DAY_MS = 86_400_000


def history(*events: tuple[str, str, int]) -> History:
    return History(*zip(*events, strict=True))  # type: ignore[arg-type]


def test_padding_and_hidden_indices_are_out() -> None:
    eligible = mask(5, [np.array([2, 0]), np.array([5])])
    assert eligible.tolist() == [False, True, False, True, True, False]
    assert mask(2, []).tolist() == [False, True, True]


def test_the_last_word_on_an_item_counts() -> None:
    acts = history(("a", "removal", 1), ("b", "removal", 1), ("a", "purchase", 2))
    assert removed_items(acts, ["c", "a"]) == hidden_items(acts, ["c", "a"], Scenario(), 3) == {"b", "c"}


def test_bought_items_are_hidden_for_the_days_of_the_scenario_only() -> None:
    acts = history(("old", "purchase", 0), ("new", "purchase", 9 * DAY_MS), ("new", "view", 9 * DAY_MS))
    assert hidden_items(acts, [], Scenario(hide_bought_days=2), 10 * DAY_MS) == {"new"}
    assert hidden_items(acts, [], SCENARIOS["home"], 10 * DAY_MS) == set()


def test_a_bought_item_is_no_longer_in_the_cart() -> None:
    acts = history(("a", "cart", 1), ("b", "cart", 1), ("b", "purchase", 2))
    assert hidden_items(acts, [], SCENARIOS["cart"], 3) == {"a"}


def test_looking_at_an_item_again_leaves_it_in_the_cart() -> None:
    acts = history(("a", "cart", 1), ("a", "view", 2), ("b", "cart", 1), ("b", "purchase", 2), ("b", "view", 3))
    assert hidden_items(acts, [], SCENARIOS["cart"], 4) == {"a"}
