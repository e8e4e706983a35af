"""Cleaning: apply the rules stage by stage; what a rule rejects moves to the quarantine, with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import ibis

from fusionrec.errors import DataError
from training.data.rules import (
    BOT_MIN_EVENTS,
    ROBUST_SIGMAS,
    Rule,
    bot_rules,
    duplicate_rules,
    line_rules,
    outlier_rules,
    rare_item_rule,
    rare_user_rule,
)
from training.data.sources.frame import EVENT_COLUMNS, Raw
from training.data.splits import SplitOptions, choose_cutoffs

QUARANTINE: Final = {
    name: "int64" if name == "line" else "string" for name in ("file", "line", "rule", "field", "value", "reason")
}
MIN_SIGMA: Final = math.log(2)  # where most values are equal the MAD is 0, and a doubling must not look odd
TOLERANCE: Final = 1e-6  # exp and ln must not reject the limit itself
MIN_PRICES: Final = 5  # an item with fewer prices has no typical one


@dataclass(frozen=True, slots=True)
class CleaningOptions:
    min_item_users: int
    min_user_events: int
    splits: SplitOptions


@dataclass(slots=True)
class Cleaned:
    """events: ibis table of EVENT_COLUMNS; quarantine: ibis table of QUARANTINE; counts: rule → lines rejected."""

    events: Any
    quarantine: Any
    cutoffs: tuple[datetime, datetime, datetime]
    counts: dict[str, int] = field(default_factory=dict)


class Cleaner:
    """One pass over one raw frame; every stage replaces `events` by what it keeps."""

    def __init__(self, con: Any, raw: Raw) -> None:
        self.con = con
        self.columns = raw.columns
        self.events = raw.events
        self.counts: dict[str, int] = {}
        self.quarantined = con.create_table("quarantine", schema=QUARANTINE, temp=True)
        self.n_tables = 0

    def apply(self, rules: Sequence[Rule], events: Any | None = None, flaws: bool = False) -> None:
        """Reject what matches. events: the current ones with further columns for the rules."""
        events = self.events if events is None else events
        verdicts = [(rule.matches(events).fill_null(False), rule) for rule in rules]
        marks = {
            "_rule": ibis.cases(*[(hit, rule.name) for hit, rule in verdicts]),
            "_field": ibis.cases(*[(hit, self.columns.get(rule.column, rule.column)) for hit, rule in verdicts]),
            "_value": ibis.cases(*[(hit, events[rule.column].cast("string")) for hit, rule in verdicts]),
            "_reason": ibis.cases(*[(hit, rule.reason) for hit, rule in verdicts]),
        }
        if flaws:  # what the reader already found wrong comes first
            marks = {mark: ibis.coalesce(events[f"flaw{mark}"], value) for mark, value in marks.items()}
        judged = self.keep_table(events.mutate(**marks))
        rejected = judged.filter(judged._rule.notnull())
        self.quarantine(rejected.select("file", "line", **{name: f"_{name}" for name in list(QUARANTINE)[2:]}))
        self.count(rejected.select(rule="_rule"), [rule.name for rule in rules])
        self.events = judged.filter(judged._rule.isnull()).select(*EVENT_COLUMNS)

    def count(self, rejected: Any, rules: Sequence[str]) -> None:
        """Readers' flaws first, then every rule, also those that rejected nothing."""
        found = {row["rule"]: row["n"] for row in rejected.rule.value_counts(name="n").to_pyarrow().to_pylist()}
        for name in [*sorted(set(found) - set(rules)), *rules]:
            self.counts[name] = self.counts.get(name, 0) + found.get(name, 0)

    def before(self, moment: datetime) -> Any:
        """What limits may be learned from."""
        return self.events.filter(self.events.sent_at < moment)

    def quarantine(self, rejected: Any) -> None:
        self.con.insert("quarantine", rejected)

    def keep_table(self, expression: Any) -> Any:
        self.n_tables += 1
        return self.con.create_table(f"stage_{self.n_tables}", expression, temp=True)


def clean(con: Any, raw: Raw, options: CleaningOptions, now: datetime, step: Callable[[str], None]) -> Cleaned:
    """now: naive UTC. step: told what begins, for the progress display. Raises DataError when nothing is left."""
    cleaner = Cleaner(con, raw)
    if raw.rejected is not None:
        cleaner.quarantine(raw.rejected)
        cleaner.count(raw.rejected, ())
    step("values, dates and types")
    cleaner.apply(line_rules(now), flaws=True)
    if raw.has_times:
        step("duplicates")
        cleaner.apply(duplicate_rules())
    if cleaner.events.count().execute() == 0:
        raise DataError(f"no valid event is left: {rejections(cleaner.quarantined)}")
    cutoffs = choose_cutoffs(cleaner.events, raw.has_times, options.splits)
    step("outliers")
    quantity = (
        cleaner.before(cutoffs[1]).filter(lambda t: (t.event_type == "purchase") & (t.event_value > 0)).event_value
    )
    cleaner.apply(
        outlier_rules(robust_limit(quantity), math.exp(ROBUST_SIGMAS * MIN_SIGMA) + TOLERANCE),
        with_prices(cleaner, cleaner.before(cutoffs[1])),
    )
    if raw.has_times:
        step("bots")
        users = user_pace(cleaner.before(cutoffs[1]))
        cleaner.apply(bot_rules(robust_limit(users.user_daily)), joined(cleaner.events, users, "user_id"))
    step("rare items and users")
    if options.min_item_users > 1:
        by_item = cleaner.before(cutoffs[1]).group_by("item_id").agg(item_users=lambda t: t.user_id.nunique())
        cleaner.apply([rare_item_rule(options.min_item_users)], joined(cleaner.events, by_item, "item_id"))
    if options.min_user_events > 1:
        by_user = cleaner.before(cutoffs[1]).group_by("user_id").agg(user_events=lambda t: t.count())
        cleaner.apply([rare_user_rule(options.min_user_events)], joined(cleaner.events, by_user, "user_id"))
    return Cleaned(cleaner.events, cleaner.quarantined, cutoffs, cleaner.counts)


def rejections(quarantine: Any) -> str:
    """How many lines each rule rejected, most first, and the first line of that rule. Needs at least one line."""
    counts = quarantine.rule.value_counts(name="n").to_pyarrow().to_pylist()
    most_first = sorted(counts, key=lambda row: (-row["n"], row["rule"]))
    told = ", ".join(f"{row['rule']} rejected {row['n']}" for row in most_first)
    commonest = quarantine.filter(quarantine.rule == most_first[0]["rule"])
    first = commonest.order_by("file", "line").limit(1).to_pyarrow().to_pylist()[0]
    value = f" {first['value'][:80]!r}" if first["value"] else ""
    where = f"{first['file']}:{first['line']}: {first['field']}{value}".rstrip(" :")
    return f"{told}; the first: {where} ({first['reason']})"


def robust_limit(values: Any) -> float:
    """exp(median + 6 × max(1.4826 MAD, ln 2)) of the logarithms: at least 64 times the median. Empty: infinity."""
    logs = values.ln().name("log").as_table()
    middle = logs.log.median().execute()
    if middle is None or math.isnan(middle):
        return math.inf
    spread = 1.4826 * (logs.log - middle).abs().median().execute()
    return math.exp(middle + ROBUST_SIGMAS * max(spread, MIN_SIGMA)) + TOLERANCE


def with_prices(cleaner: Cleaner, past: Any) -> Any:
    typical = past.filter(past.price_cents > 0).group_by("item_id").agg(
        item_price=lambda t: t.price_cents.median(), n_prices=lambda t: t.count()
    )  # fmt: skip
    return joined(cleaner.events, typical.filter(typical.n_prices >= MIN_PRICES), "item_id")


def user_pace(past: Any) -> Any:
    """user_id, user_daily (events per active day), user_gap_s (null for users with few views and clicks)."""
    gap = past.sent_at.epoch_seconds() - past.sent_at.epoch_seconds().lag().over(
        ibis.window(group_by="user_id", order_by=["sent_at", "line"])
    )
    browsing = past.event_type.isin(["view", "click"])
    paced = past.mutate(gap=ibis.ifelse(browsing, gap, None), browsing=browsing)
    users = paced.group_by("user_id").agg(
        user_daily=lambda t: t.count() / t.sent_at.date().nunique(),
        n_browsing=lambda t: t.browsing.sum(),
        gap=lambda t: t.gap.median(),
    )
    enough = users.n_browsing >= BOT_MIN_EVENTS
    return users.select("user_id", "user_daily", user_gap_s=ibis.ifelse(enough, users.gap, None))


def joined(events: Any, limits: Any, key: str) -> Any:
    return events.left_join(limits, key).drop(f"{key}_right")
