"""The data report: what came in, what each rule took, and what is left, as JSON, Markdown and a table for terminals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
from rich.console import Group
from rich.table import Table

from training.data import protocols

Report = dict[str, Any]


def size_of(events: Any) -> dict[str, int]:
    """n_events, n_users, n_items of an Ibis table of events."""
    counted = events.aggregate(
        n_events=events.count(), n_users=events.user_id.nunique(), n_items=events.item_id.nunique()
    )
    row: dict[str, int] = counted.to_pyarrow().to_pylist()[0]
    return row


def describe(events: Any) -> Report:
    """Size, time span, sparsity and long tail of prepared events (an Ibis table)."""
    size = size_of(events) | {"n_sessions": events.session_id.nunique().execute()}
    span = events.aggregate(first=events.sent_at.min(), last=events.sent_at.max()).to_pyarrow().to_pylist()[0]
    n_pairs = events.select("user_id", "item_id").distinct().count().execute()
    per_item = column(events.group_by("item_id").agg(n=events.count()), "n")
    per_user = column(events.group_by("user_id").agg(n=events.count()), "n")
    types = events.event_type.value_counts(name="n").order_by(ibis.desc("n")).to_pyarrow().to_pylist()
    return size | {
        "first_event_at": span["first"].isoformat(),
        "last_event_at": span["last"].isoformat(),
        "span_days": round((span["last"] - span["first"]).total_seconds() / 86400, 1),
        "sparsity": round(1 - n_pairs / (size["n_users"] * size["n_items"]), 6),
        "share_of_repeats": round(1 - n_pairs / size["n_events"], 4),
        "events_per_user": quartiles(per_user),
        "events_per_item": quartiles(per_item),
        "share_of_top_1_percent_items": top_share(per_item, 0.01),
        "share_of_top_10_percent_items": top_share(per_item, 0.10),
        "gini_of_items": gini(per_item),
        "event_types": {row["event_type"]: row["n"] for row in types},
    }


def column(table: Any, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(table.to_pyarrow()[name], np.float64)


def quartiles(values: npt.NDArray[np.float64]) -> dict[str, float]:
    names = ("min", "q25", "median", "q75", "max")
    return dict(zip(names, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist(), strict=True))


def top_share(counts: npt.NDArray[np.float64], share: float) -> float:
    """Share of all events that falls on the most popular `share` of the items (at least one).

    >>> top_share(np.array([6.0, 2.0, 1.0, 1.0]), 0.25)
    0.6
    """
    n_top = max(1, round(len(counts) * share))
    return round(float(np.sort(counts)[::-1][:n_top].sum() / counts.sum()), 4)


def gini(counts: npt.NDArray[np.float64]) -> float:
    """0 when all are equal, towards 1 when one has all.

    >>> gini(np.array([1.0, 1.0, 1.0, 1.0])), gini(np.array([0.0, 0.0, 0.0, 8.0]))
    (0.0, 0.75)
    """
    ranked = np.sort(counts)
    n = len(ranked)
    return round(float((2 * np.arange(1, n + 1) - n - 1) @ ranked / (n * ranked.sum())), 4)


def facts(report: Report) -> list[tuple[str, str]]:
    """The report's figures as lines for people."""
    after, before = report["after"], report["before"]
    lines = [(name, f"{before[f'n_{name}']:,} → {after[f'n_{name}']:,}") for name in ("events", "users", "items")]
    median = after["events_per_user"]["median"]
    return [
        *lines,
        ("sessions", f"{after['n_sessions']:,}"),
        ("time span", f"{after['first_event_at'][:10]} to {after['last_event_at'][:10]} ({after['span_days']:g} days)"),
        ("train / validation / test", " / ".join(f"{report['windows'][name]:,}" for name in report["windows"])),
        *protocols.facts(report.get("protocols", {})),  # none in reports of earlier versions
        ("sparsity", f"{after['sparsity']:.4%} of user–item pairs are empty"),
        ("repeats", f"{after['share_of_repeats']:.1%} of events repeat an earlier pair"),
        ("events per user", f"median {median:g}, at most {after['events_per_user']['max']:g}"),
        ("long tail", f"top 1 % of items {after['share_of_top_1_percent_items']:.1%} of events, "
                      f"top 10 % {after['share_of_top_10_percent_items']:.1%}, Gini {after['gini_of_items']:.2f}"),
    ]  # fmt: skip


def for_terminal(report: Report) -> Group:
    figures = Table(title=f"{report['name']} ({report['source']})", show_header=False, title_justify="left")
    for name, text in facts(report):
        figures.add_row(name, text)
    rules = Table("rule", "lines rejected", title="cleaning", title_justify="left")
    rules.columns[1].justify = "right"
    for rule, n in report["rules"].items():
        rules.add_row(rule, f"{n:,}")
    return Group(figures, rules)


def as_markdown(report: Report) -> str:
    lines = [f"# {report['name']} ({report['source']})", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {text} |" for name, text in facts(report)]
    lines += ["", "| Rule | Lines rejected |", "|---|---:|"]
    lines += [f"| {rule} | {n:,} |" for rule, n in report["rules"].items()]
    lines += ["", *(f"- {note}" for note in (*report["notes"], *report.get("cautions", ())))]
    return "\n".join(lines).rstrip() + "\n"


def write(report: Report, folder: Path) -> None:
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "report.md").write_text(as_markdown(report))


def window_sizes(events: Any, cutoffs: Sequence[Any]) -> dict[str, int]:
    """Events in each window. cutoffs: train_end, validation_end, data_end (aware)."""
    train_end, validation_end, _ = cutoffs
    counted = events.aggregate(
        train=(events.sent_at < train_end).sum(),
        validation=((events.sent_at >= train_end) & (events.sent_at < validation_end)).sum(),
        test=(events.sent_at >= validation_end).sum(),
    )
    row: dict[str, int] = counted.to_pyarrow().to_pylist()[0]
    return row
