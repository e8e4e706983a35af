"""The cleaning rules, each a small Ibis expression over the raw frame (`sources/frame.py`): True = reject the line.

Limits that are learned from the data (outliers, bots, rare items and users) are learned from events before the test
window only, so that cleaning tells training nothing about the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import ibis

from fusionrec import ids
from fusionrec.feature_spec import EVENT_TYPES
from fusionrec.state_keys import SESSION_PREFIX

EARLIEST: Final = datetime(1990, 1, 1)  # noqa: DTZ001  naive UTC, as in the raw frame; no shop on line before
NEAR_DUPLICATE_S: Final = 2
UNFIT: Final = f"is longer than {ids.LONGEST} characters, or {ids.REASON}"
UNFIT_USER: Final = f"begins with {SESSION_PREFIX!r}, kept for sessions without a user, or {UNFIT}"
ROBUST_SIGMAS: Final = 6.0  # how many robust standard deviations of the logarithm make an outlier
BOT_MIN_EVENTS: Final = 200
BOT_MEDIAN_GAP_S: Final = 1.0
EXACT: Final = (
    "user_id", "item_id", "event_type", "sent_at", "event_value", "price_cents", "discount_cents", "session_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """What to reject: its name, the raw frame's column to blame, why in one line, and the test."""

    name: str
    column: str
    reason: str
    matches: Callable[[Any], Any]  # ibis Table → boolean value; null = keep


def blank(value: Any) -> Any:
    return value.isnull() | value.re_search(ids.BLANK)


def unfit(value: Any) -> Any:
    return value.re_search(ids.UNFIT) | (value.length() > ids.LONGEST)


def unfit_user(value: Any) -> Any:
    """Also what would be another's features: those of a session without a user."""
    return unfit(value) | value.startswith(SESSION_PREFIX)


def bought(t: Any) -> Any:
    return t.event_type == "purchase"


def line_rules(now: datetime) -> tuple[Rule, ...]:
    """Rules that look at one line alone; the first that matches is the one reported."""
    return (
        Rule("unfit-user", "user_id", UNFIT_USER, lambda t: unfit_user(t.user_id)),
        Rule("unfit-item", "item_id", UNFIT, lambda t: unfit(t.item_id)),
        Rule("missing-user", "user_id", "there is no user", lambda t: blank(t.user_id)),
        Rule("missing-item", "item_id", "there is no item", lambda t: blank(t.item_id)),
        Rule("missing-time", "sent_at", "there is no time", lambda t: t.sent_at.isnull()),
        Rule(
            "unknown-event-type",
            "event_type",
            f"not one of {', '.join(EVENT_TYPES)}",
            lambda t: t.event_type.notin(EVENT_TYPES) | t.event_type.isnull(),
        ),
        Rule("impossible-date", "sent_at", f"before {EARLIEST:%Y}", lambda t: t.sent_at < EARLIEST),
        Rule("future-date", "sent_at", "later than the moment of preparation", lambda t: t.sent_at > now),
        Rule("impossible-value", "event_value", "not a finite number", lambda t: ~is_finite(t.event_value)),
        Rule(
            "return", "event_value", "a negative quantity: goods came back", lambda t: bought(t) & (t.event_value < 0)
        ),
        Rule("zero-quantity", "event_value", "nothing was bought", lambda t: bought(t) & (t.event_value == 0)),
        Rule("negative-price", "price_cents", "a price below zero", lambda t: t.price_cents < 0),
        Rule("negative-discount", "discount_cents", "a discount below zero", lambda t: t.discount_cents < 0),
        Rule(
            "zero-price",
            "price_cents",
            "bought for nothing, and no discount explains it",
            is_free,
        ),
    )


def is_free(t: Any) -> Any:
    return bought(t) & (t.price_cents == 0) & (t.discount_cents.fill_null(0) == 0)


def is_finite(value: Any) -> Any:
    return ~(value.isnan() | value.isinf())


def duplicate_rules() -> tuple[Rule, ...]:
    """Repeats, for data with times; without them a repeat cannot be told from a second purchase."""
    return (
        Rule("duplicate", "item_id", "the same line again", is_repeat),
        Rule(
            "near-duplicate",
            "sent_at",
            f"same user, item and event type within {NEAR_DUPLICATE_S} s of the line before: a double click or a retry",
            lambda t: seconds_since_same(t) <= NEAR_DUPLICATE_S,
        ),
    )


def is_repeat(t: Any) -> Any:
    return ibis.row_number().over(ibis.window(group_by=EXACT, order_by=["file", "line"])) > 0


def seconds_since_same(t: Any) -> Any:
    same = ibis.window(group_by=["user_id", "item_id", "event_type"], order_by=["sent_at", "file", "line"])
    seconds = t.sent_at.epoch_seconds()
    return seconds - seconds.lag().over(same)


def outlier_rules(quantity_limit: float, price_ratio: float) -> tuple[Rule, ...]:
    """Needs the column `item_price`, the item's median price.

    quantity_limit: units in one line; price_ratio: how far a price may be from its item's median, both by robust_limit
    """
    return (
        Rule(
            "quantity-outlier",
            "event_value",
            f"more than {quantity_limit:.0f} units in one line ({ROBUST_SIGMAS:.0f} robust sigmas above the median)",
            lambda t: bought(t) & (t.event_value > quantity_limit),
        ),
        Rule(
            "price-outlier",
            "price_cents",
            f"more than {price_ratio:.0f} times above or below the item's median price",
            lambda t: (t.price_cents.nullif(0) / t.item_price).ln().abs() > ibis.literal(price_ratio).ln(),
        ),
    )


def bot_rules(daily_limit: float) -> tuple[Rule, ...]:
    """Needs the columns `user_daily` (events per active day) and `user_gap_s` (median gap of views and clicks)."""
    return (
        Rule(
            "bot-volume",
            "user_id",
            f"a user with more than {daily_limit:.0f} events per active day "
            f"({ROBUST_SIGMAS:.0f} robust sigmas above the median user)",
            lambda t: t.user_daily > daily_limit,
        ),
        Rule(
            "bot-speed",
            "user_id",
            f"a user with {BOT_MIN_EVENTS} or more views and clicks, most within {BOT_MEDIAN_GAP_S:g} s of another",
            lambda t: t.user_gap_s <= BOT_MEDIAN_GAP_S,
        ),
    )


def rare_item_rule(min_users: int) -> Rule:
    """Needs the column `item_users`."""
    reason = f"fewer than {min_users} users of this item before the test window"
    return Rule("rare-item", "item_id", reason, lambda t: t.item_users.fill_null(0) < min_users)


def rare_user_rule(min_events: int) -> Rule:
    """Needs the column `user_events`: null for users who only appear in the test window, who stay as cold users."""
    reason = f"fewer than {min_events} events of this user before the test window"
    return Rule("rare-user", "user_id", reason, lambda t: t.user_events < min_events)
