"""What the model commands show: progress of stages, and tables of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from training.evaluate import Evaluation

_NAMES = {"most_popular": "most popular"}


@contextmanager
def stage_display(console: Console) -> Iterator[Callable[[str, float], None]]:
    """One line a stage; on a terminal its bar moves, in a log its end is printed."""
    columns = (TextColumn("{task.description:<46}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as display:

        def report(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = display.add_task(what, total=1.0)
            display.update(tasks[what], completed=share)
            if share >= 1.0:
                display.stop_task(tasks[what])
                if not console.is_terminal:
                    console.print(f"done: {what}")

        yield report


def metric_table(evaluation: Evaluation, title: str, narrow: bool = True) -> Table:
    """Models down, metrics across, the 95 % interval under each number; narrow: those at 10 only."""
    shown = ["hr@10", "ndcg@10", "mrr@10", "recall@10"] if narrow else [*next(iter(evaluation.rows.values()))]
    table = Table(title=title, caption=_verdict(evaluation))
    table.add_column("model", no_wrap=True)
    for name in [*shown, "cover@10"]:
        table.add_column(name, justify="right", no_wrap=True)
    for model, row in evaluation.rows.items():
        cells = [f"{row[name][0]:.4f}\n[dim]{_short(row[name][1])}–{_short(row[name][2])}[/]" for name in shown]
        style = "bold" if model == "fusion" else None
        table.add_row(
            _NAMES.get(model, model), *cells, f"{evaluation.catalogue[model]['coverage@10']:.3f}", style=style
        )
    return table


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _verdict(evaluation: Evaluation) -> str:
    test = evaluation.paired["ndcg@10"]
    return (
        f"{evaluation.n_users} users, {evaluation.n_relevant} relevant items, seen items {evaluation.seen}. "
        f"Fusion minus {evaluation.best_part}: ndcg@10 {test['difference']:+.4f} "
        f"({test['low']:+.4f} to {test['high']:+.4f}, p = {test['p_value']:.3f})"
    )
