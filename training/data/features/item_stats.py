"""item_stats: popularity, trend, price, discount and age of every item that was ever touched before the cut-off."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import ibis

from fusionrec.feature_spec import ITEM_STATS
from training.data.features.common import Shop, as_view, before, count_where, half_life, in_last

POPULARITY_HALF_LIFE_DAYS: Final = 30.0
N_PRICE_BANDS: Final = 5


def item_stats(shop: Shop, cutoff: datetime) -> Any:
    """One row per item. Removals are no interest and do not count."""
    past = before(shop.events, cutoff)
    past = past.filter(past.event_type != "removal")
    price = past.price_cents.nullif(0)
    bought = past.event_type == "purchase"
    newest = [past.sent_at, past.user_id, past.position]  # ties have one answer
    stats = past.group_by("item_id").agg(
        n_events=past.count(),
        n_users=past.user_id.nunique(),
        n_events_1d=in_last(past, 1),
        n_events_7d=in_last(past, 7),
        n_events_30d=in_last(past, 30),
        popularity=half_life(past.age_days, POPULARITY_HALF_LIFE_DAYS).sum(),
        price_cents=price.last(where=price.notnull(), order_by=newest),
        mean_price_cents=price.mean(where=bought),
        n_bought=count_where(bought),
        n_discounted=count_where(bought & (past.discount_cents.fill_null(0) > 0)),
        first_event_at=past.sent_ms.min(),
        last_event_at=past.sent_ms.max(),
    )
    stats = stats.mutate(trend=trend(stats), discount_share=stats.n_discounted / stats.n_bought.nullif(0))
    return as_view(with_price_band(stats, shop.items), ITEM_STATS, cutoff)


def trend(stats: Any) -> Any:
    """ln of the daily rate of the last 7 days over that of the last 30; one event a week is added to both, so that an
    item without events has trend 0 and a single sale is no sensation."""
    return (((stats.n_events_7d + 1.0) / 7) / ((stats.n_events_30d + 30 / 7) / 30)).ln()


def with_price_band(stats: Any, items: Any) -> Any:
    """price_band: fifths of the department's items by price, 1 cheapest; null without a price."""
    placed = stats.left_join(items.select("item_id", "department"), "item_id").drop("item_id_right")
    priced = placed.filter(placed.price_cents > 0)
    fifth = ibis.ntile(N_PRICE_BANDS).over(ibis.window(group_by="department", order_by=["price_cents", "item_id"]))
    bands = priced.select("item_id", price_band=fifth + 1)
    return placed.left_join(bands, "item_id").drop("item_id_right")
