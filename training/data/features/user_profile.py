"""user_profile: history, recency, frequency, money, and what a user likes and when, before the cut-off."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import ibis

from fusionrec.feature_spec import HISTORY_LENGTH, USER_PROFILE
from training.data.features.common import Shop, as_view, before, half_life, in_last, shares
from training.data.features.item_stats import N_PRICE_BANDS, item_stats

AFFINITY_HALF_LIFE_DAYS: Final = 90.0
N_CATEGORIES: Final = 10
HOURS_PER_BLOCK: Final = 4


def user_profile(shop: Shop, cutoff: datetime) -> Any:
    """One row per user with an event before the cut-off."""
    past = before(shop.events, cutoff)
    parts = [totals(past), histories(past), tastes(past, shop.items), bands(past, item_stats(shop, cutoff))]
    if shop.has_times:
        parts.append(rhythms(past))
    table = parts[0]
    for part in parts[1:]:
        table = table.left_join(part, "user_id").drop("user_id_right")
    if not shop.has_times:  # made-up times have no hours and weekdays
        table = table.mutate(
            hour_weights=ibis.literal([], type="array<float32>"),
            weekday_weights=ibis.literal([], type="array<float32>"),
        )
    return as_view(table, USER_PROFILE, cutoff)


def totals(past: Any) -> Any:
    bought = past.event_type == "purchase"
    price = past.price_cents.nullif(0)
    money = ibis.ifelse(bought, (past.price_cents * past.event_value).round().cast("int64"), None)
    return past.group_by("user_id").agg(
        n_events=past.count(),
        n_sessions=past.session_id.nunique(),
        first_event_at=past.sent_ms.min(),
        last_event_at=past.sent_ms.max(),
        n_events_1d=in_last(past, 1),
        n_events_7d=in_last(past, 7),
        n_events_30d=in_last(past, 30),
        monetary_30d_cents=money.sum(where=past.age_days <= 30),
        monetary_cents=money.sum(),
        mean_price_cents=price.mean(where=bought),
    )


def histories(past: Any) -> Any:
    """Three arrays of equal length, oldest first, the newest HISTORY_LENGTH events."""
    from_newest = ibis.row_number().over(ibis.window(group_by="user_id", order_by=ibis.desc("position")))
    kept = past.mutate(from_newest=from_newest)
    kept = kept.filter(kept.from_newest < HISTORY_LENGTH)
    return kept.group_by("user_id").agg(
        history_item_ids=kept.item_id.collect(order_by=kept.position),
        history_event_types=kept.event_type.collect(order_by=kept.position),
        history_sent_at=kept.sent_ms.collect(order_by=kept.position),
    )


def tastes(past: Any, items: Any) -> Any:
    """The ten greatest categories and their shares of all interactions, halved for every 90 days of age."""
    known = items.filter(items.category != "").select("item_id", "category")
    liked = past.filter(past.event_type != "removal").inner_join(known, "item_id")
    weighed = liked.group_by("user_id", "category").agg(weight=half_life(liked.age_days, AFFINITY_HALF_LIFE_DAYS).sum())
    whole = weighed.weight.sum().over(ibis.window(group_by="user_id"))
    greatest = ibis.window(group_by="user_id", order_by=[ibis.desc("weight"), "category"])
    ranked = weighed.mutate(share=weighed.weight / whole, rank=ibis.row_number().over(greatest))
    top = ranked.filter(ranked["rank"] < N_CATEGORIES)
    return top.group_by("user_id").agg(
        category_names=top.category.collect(order_by=top["rank"]),
        category_weights=top.share.collect(order_by=top["rank"]),
    )


def bands(past: Any, stats: Any) -> Any:
    """Shares of purchases in each price band of their items, cheapest first."""
    banded = stats.filter(stats.price_band > 0).select("item_id", "price_band")
    bought = past.filter(past.event_type == "purchase").inner_join(banded, "item_id")
    in_band = [bought.price_band == band for band in range(1, N_PRICE_BANDS + 1)]
    return bought.group_by("user_id").agg(price_band_weights=shares(in_band))


def rhythms(past: Any) -> Any:
    """Shares of events by time of day and weekday, UTC."""
    block, day = past.sent_at.hour() // HOURS_PER_BLOCK, past.sent_at.day_of_week.index()
    return past.group_by("user_id").agg(
        hour_weights=shares([block == number for number in range(24 // HOURS_PER_BLOCK)]),
        weekday_weights=shares([day == number for number in range(7)]),
    )
