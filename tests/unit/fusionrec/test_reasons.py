from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusionrec.bundle.catalogue import Catalogue, write_catalogue
from fusionrec.bundle.loader import load_bundle
from fusionrec.filters.eligibility import removed_items
from fusionrec.fresh import Fresh
from fusionrec.reasons import Reasons
from fusionrec.scoring import Ranking
from fusionrec.transforms import History

DAY_MS = 86_400_000
PARTS = ("popularity", "ease", "attention")
CONTENT = ("content", "transitions")


@pytest.fixture(scope="module")
def bundle(toy_bundle):
    return load_bundle(toy_bundle)


def reasons(bundle, item: int, added, *events: tuple[str, str], parts=PARTS) -> tuple[str, ...]:
    ids, types = zip(*events, strict=True) if events else ((), ())
    history = History(ids, types, tuple(n * DAY_MS for n in range(len(ids))))
    one = Ranking(np.array([item]), np.zeros(1, np.float32), np.array([added], np.float32), 0.0, parts)
    found = bundle.catalogue.find(ids)
    return Reasons(bundle, Fresh.none(bundle.n_items), history, found, removed_items(history, ())).of(one, 0)


def companion_of(bundle, index: int) -> int:
    return int(bundle.neighbours["complement"].items[index][0])


def test_repeat_purchases_are_told_from_single_ones(bundle) -> None:
    bought = ("item-01", "purchase")
    assert reasons(bundle, 1, [1, 0, 0], bought, bought, bought) == ("You buy this regularly",)
    assert reasons(bundle, 1, [1, 0, 0], bought) == ("You bought this before",)


def test_popular_is_said_of_popular_items_only(bundle) -> None:
    best = int(np.argmax(bundle.popularity[1:])) + 1
    worst = int(np.argmin(bundle.popularity[1:])) + 1
    assert reasons(bundle, best, [1, 0, 0]) == ("Popular right now",)
    assert reasons(bundle, worst, [1, 0, 0]) == ()


def test_the_companion_is_named_with_what_was_done_and_when(bundle) -> None:
    item = companion_of(bundle, 1)
    (reason,) = reasons(bundle, item, [0, 1, 0], ("item-01", "purchase"))
    assert reason == "Often bought with oat 1, which you bought on 1 January 1970"
    (reason,) = reasons(bundle, item, [0, 1, 0], ("item-01", "view"))
    assert "which you looked at on" in reason


def test_no_companion_no_reason(bundle) -> None:
    strangers = set(range(1, 11)) - set(bundle.neighbours["complement"].items[1].tolist()) - {1}
    assert reasons(bundle, min(strangers), [0, 1, 0], ("item-01", "purchase")) == ()
    assert reasons(bundle, companion_of(bundle, 1), [0, 1, 0], ("item-01", "removal")) == ()


def test_the_weightiest_part_comes_first_and_arguments_against_are_silent(bundle) -> None:
    item = companion_of(bundle, 1)
    assert reasons(bundle, item, [0, 1, 2], ("item-01", "purchase"))[0] == "Follows from what you did last"
    assert reasons(bundle, item, [0, 1, -2], ("item-01", "purchase"))[0].startswith("Often bought with")
    assert reasons(bundle, item, [-1, -1, -1], ("item-01", "purchase")) == ()
    assert reasons(bundle, item, [0, 0, 1]) == ()  # nothing was done last


@pytest.fixture(scope="module")
def teas(bundle, tmp_path_factory):
    """Items 1 and 2 share category and an attribute, 3 only the attribute; 4 is named like 2."""
    folder = tmp_path_factory.mktemp("teas") / "catalogue"
    others = [""] * 6
    columns = {
        "name": ["mint tea", "fig tea", "fig jam", "fig tea", *others],
        "category": ["tea", "tea", "jam", "tea", *others],
        "department": others + [""] * 4,
        "brand": others + [""] * 4,
        "attributes": [["organic"], ["organic"], ["organic"], ["organic"], *([] for _ in others)],
    }
    write_catalogue(folder, [f"item-{n:02d}" for n in range(1, 11)], columns)
    return replace(bundle, catalogue=Catalogue.load(folder))


def test_similar_is_said_of_items_that_share_two_facts(teas) -> None:
    bought = ("item-02", "purchase")
    assert reasons(teas, 1, [1, 0], bought, parts=CONTENT) == ("Similar to fig tea, which you bought",)
    assert reasons(teas, 3, [1, 0], bought, parts=CONTENT) == ()
    assert reasons(teas, 4, [1, 0], bought, parts=CONTENT) == ()  # a variant of the same name
    assert reasons(teas, 2, [1, 0], bought, parts=CONTENT) == ()  # the item itself
    assert reasons(teas, 1, [1, 0], ("item-02", "removal"), parts=CONTENT) == ()


def test_transitions_follow_from_the_history_or_say_nothing(teas) -> None:
    assert reasons(teas, 3, [0, 1], ("item-01", "view"), parts=CONTENT) == ("Follows from what you did last",)
    assert reasons(teas, 3, [0, 1], ("unknown", "view"), parts=CONTENT) == ()
    assert reasons(teas, 3, [0, 1], ("item-01", "cart"), ("item-01", "removal"), parts=CONTENT) == ()


def test_taste_is_said_of_a_category_that_the_shopper_turned_to_more_than_once(teas) -> None:
    two, parts = [("item-02", "view"), ("item-04", "purchase")], ("two_tower",)
    assert reasons(teas, 1, [1], *two, parts=parts) == ("Fits what you like: tea",)
    assert reasons(teas, 3, [1], *two, parts=parts) == ()  # jam
    assert reasons(teas, 1, [1], two[0], two[0], parts=parts) == ()  # one item, twice
    assert reasons(teas, 1, [1], two[0], ("item-04", "removal"), parts=parts) == ()


@pytest.mark.parametrize(("item", "added", "parts"), [(None, [0, 1, 0], PARTS), (1, [1, 0], CONTENT)])
def test_what_was_removed_since_is_no_reason(teas, item, added, parts) -> None:
    item = companion_of(teas, 2) if item is None else item
    cart, removal, purchase = (("item-02", act) for act in ("cart", "removal", "purchase"))
    assert "which you put in your cart" in reasons(teas, item, added, cart, parts=parts)[0]
    assert reasons(teas, item, added, purchase, cart, removal, parts=parts) == ()
    assert "which you bought" in reasons(teas, item, added, cart, removal, purchase, parts=parts)[0]


def test_taste_is_not_told_from_what_was_removed_since(teas) -> None:
    two = [("item-02", "view"), ("item-04", "purchase")]
    assert reasons(teas, 1, [1], *two, ("item-04", "removal"), parts=("two_tower",)) == ()


def test_another_source_stands_in_for_one_that_was_removed_since(bundle) -> None:
    items = bundle.neighbours["complement"].items
    sources = [n for n in range(2, 11) if companion_of(bundle, 1) in items[n].tolist()]
    kept, removed = ("item-01", "purchase"), f"item-{sources[0]:02d}"
    (reason,) = reasons(bundle, companion_of(bundle, 1), [0, 1, 0], kept, (removed, "cart"), (removed, "removal"))
    assert reason.startswith("Often bought with oat 1, which you bought on 1 January")
