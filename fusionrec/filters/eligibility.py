"""The eligibility mask: scenario rules, removals and exclusions. What was seen or bought stays: shoppers buy again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fusionrec.contracts.recommendations import ScenarioName
from fusionrec.feature_spec import DAY_MS
from fusionrec.transforms import History

_CART_ACTS: Final = ("cart", "purchase", "removal")  # they put an item into the cart, or end its being there


@dataclass(frozen=True, slots=True)
class Scenario:
    """The rules of one place where slates are shown."""

    hide_in_cart: bool = False  # items put into the cart and not bought since
    hide_bought_days: float = 0.0  # items bought within so many days before the request


SCENARIOS: Final[dict[ScenarioName, Scenario]] = {
    "home": Scenario(),
    "product": Scenario(),
    "cart": Scenario(hide_in_cart=True),
    "email": Scenario(hide_bought_days=3.0),
}


def removed_items(history: History, removed: Collection[str]) -> set[str]:
    """Items whose last word is a removal: no slate shows them, no reason names them, the profile lists them.

    removed: items whose removal is older than what the history holds; a later act in the history revokes it
    """
    last_word = dict(zip(history.item_ids, history.event_types, strict=True))
    gone = {item for item in removed if item not in last_word}
    return gone | {item for item, event_type in last_word.items() if event_type == "removal"}


def hidden_items(history: History, removed: Collection[str], scenario: Scenario, now_ms: int) -> set[str]:
    """Items that the user's own acts take out of this scenario's slates. removed: as of `removed_items`."""
    hidden = removed_items(history, removed)
    if scenario.hide_in_cart:  # looking at an item again does not take it out of the cart
        acts = zip(history.item_ids, history.event_types, strict=True)
        last_act = {item: event_type for item, event_type in acts if event_type in _CART_ACTS}
        hidden |= {item for item, event_type in last_act.items() if event_type == "cart"}
    if scenario.hide_bought_days:
        since = now_ms - scenario.hide_bought_days * DAY_MS
        events = zip(history.item_ids, history.event_types, history.sent_at, strict=True)
        hidden |= {item for item, event_type, at in events if event_type == "purchase" and at >= since}
    return hidden


def mask(n_items: int, hidden: Iterable[npt.NDArray[np.int64]]) -> npt.NDArray[np.bool_]:
    """bool (n_items + 1,): False for padding and for every index in `hidden`."""
    eligible = np.ones(n_items + 1, np.bool_)
    eligible[0] = False
    for indices in hidden:
        eligible[indices] = False
    return eligible
