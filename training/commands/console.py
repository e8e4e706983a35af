"""What the model commands show: progress of stages, and tables of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from training.data.protocols import caution_of

if TYPE_CHECKING:
    from training.evaluate import Evaluation
    from training.tradeoff import Point

LONG_S: Final = 2.0  # a stage that ends sooner is told of once
AGAIN_S: Final = 60.0  # in a log, between two lines of a stage
_NAMES = {"most_popular": "most popular"}
_SHORT = {
    "diversity@10": "diversity",
    "novelty@10": "novelty",
    "popularity_lift@10": "pop. lift",
    "miscalibration@10": "miscalib.",
    "gini@10": "gini",
}


@contextmanager
def stage_display(console: Console) -> Iterator[Callable[[str, float], None]]:
    """One line a stage; on a terminal its bar moves, in a log its end is printed, and before that what takes long, with
    its share every minute."""
    columns = (TextColumn("{task.description:<46}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    begun: dict[str, Timer] = {}
    told: dict[str, float] = {}  # when a stage was last told of in a log
    with Progress(*columns, console=console, disable=not console.is_terminal) as display:

        def report(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what], told[what] = display.add_task(what, total=1.0), monotonic()
                if not console.is_terminal and share < 1.0:
                    begun[what] = Timer(LONG_S, console.print, (f"{what} …",))
                    begun[what].start()
            display.update(tasks[what], completed=share)
            if not console.is_terminal and share < 1.0 and monotonic() - told[what] >= AGAIN_S:
                told[what] = monotonic()
                console.print(f"{what} {share:.0%} …")
            if share >= 1.0:
                display.stop_task(tasks[what])
                if what in begun:
                    begun.pop(what).cancel()
                if not console.is_terminal:
                    console.print(f"done: {what}")

        try:
            yield report
        finally:
            for timer in begun.values():
                timer.cancel()


def show_evaluation(console: Console, evaluation: Evaluation, title: str) -> None:
    """The main table, and what to keep in mind of it."""
    console.print(metric_table(evaluation, title))
    if caution := caution_of(evaluation.n_users):
        console.print(f"caution: {caution}", style="yellow", soft_wrap=True)


def metric_table(evaluation: Evaluation, title: str) -> Table:
    """Models down, the main metrics across, the 95 % interval under each number."""
    shown = ("hr@10", "ndcg@10", "mrr@10", "recall@10")
    table = _table([*shown, "cover@10"], title)
    table.caption = _verdict(evaluation)
    for model, row in evaluation.rows.items():
        cells = [*(_cell(row[name]) for name in shown), f"{evaluation.catalogue[model]['coverage@10']:.3f}"]
        table.add_row(_NAMES.get(model, model), *cells, style=_style(model))
    return table


def detail_tables(
    evaluation: Evaluation, points: Sequence[Point], costs: Mapping[str, Mapping[str, float]]
) -> Iterator[Table]:
    """The other cut-offs, the whole catalogue, beyond accuracy, segments, the trade-off and what stages cost."""
    for k in (5, 20):
        yield _models(evaluation, [f"{metric}@{k}" for metric in ("hr", "ndcg", "mrr", "recall")], f"at {k}")
    yield _models(evaluation, ["auc", "correlation"], "score and outcome over the whole catalogue")
    beyond = ["diversity@10", "novelty@10", "popularity_lift@10", "miscalibration@10"]
    yield _models(evaluation, beyond, f"beyond accuracy, at 10 (diversity by {evaluation.likeness})", ["gini@10"])
    yield _segments(evaluation)
    yield _leaning(evaluation)
    if points:
        table = _table(["ndcg@10", "diversity@10"], "accuracy against diversity: the fusion re-ranked", "weight")
        for point in points:
            table.add_row(f"{point.weight:g}", _cell(point.ndcg), _cell(point.diversity))
        yield table
    if costs:
        table = _table(["seconds", "CPU seconds", "peak MiB"], "cost of stages", "stage")
        for name, cost in costs.items():
            table.add_row(name, *(f"{cost[unit]:.1f}" for unit in ("seconds", "cpu_seconds", "peak_mib")))
        yield table


def _models(evaluation: Evaluation, names: Sequence[str], title: str, of_catalogue: Sequence[str] = ()) -> Table:
    """One row a model; metrics that the data cannot give are left out."""
    names = [name for name in names if any(name in row for row in evaluation.rows.values())]
    table = _table([*names, *of_catalogue], title)
    for model, row in evaluation.rows.items():
        cells = [_cell(row[name]) if name in row else "" for name in names]
        cells += [f"{evaluation.catalogue[model][name]:.3f}" for name in of_catalogue]
        table.add_row(_NAMES.get(model, model), *cells, style=_style(model))
    return table


def _segments(evaluation: Evaluation) -> Table:
    """One row a segment; the JSON has every model."""
    best = evaluation.best_part
    table = _table(["requests", best, "fusion", "difference"], "ndcg@10 by history and by wanted item", "segment")
    for cut in evaluation.segments:
        test = cut.paired["ndcg@10"]
        cells = [_cell(cut.rows[model]["ndcg@10"]) for model in (best, "fusion")]
        gain = f"{test['difference']:+.4f}\n[dim]{_short(test['low'])}–{_short(test['high'])}[/]"
        table.add_row(f"{cut.kind}: {cut.name}", str(cut.n_users), *cells, gain)
    return table


def _leaning(evaluation: Evaluation) -> Table:
    """Per cent of what lifts the slates' items, by the length of the history."""
    cuts = [cut for cut in evaluation.segments if cut.leaning]
    table = _table(list(cuts[0].leaning) if cuts else [], "what the fusion leans on, %", "history")
    for cut in cuts:
        table.add_row(cut.name, *(f"{100 * share:.0f}" for share in cut.leaning.values()))
    return table


def _table(columns: Sequence[str], title: str, first: str = "model") -> Table:
    table = Table(title=title)
    table.add_column(first, no_wrap=True)
    for name in columns:
        table.add_column(_SHORT.get(name, name), justify="right", no_wrap=True)
    return table


def _cell(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.4f}\n[dim]{_short(value[1])}–{_short(value[2])}[/]"


def _style(model: str) -> str | None:
    return "bold" if model == "fusion" else None


def counted(n: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "user"), counted(2000, "user")
    ('1 user', '2,000 users')
    """
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def _short(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.2f}"


def _verdict(evaluation: Evaluation) -> str:
    test = evaluation.paired["ndcg@10"]
    return (
        f"{counted(evaluation.n_users, 'user')}, {counted(evaluation.n_relevant, 'relevant item')}, "
        f"seen items {evaluation.seen}. "
        f"Fusion minus {evaluation.best_part}: ndcg@10 {test['difference']:+.4f} "
        f"({test['low']:+.4f} to {test['high']:+.4f}, p = {test['p_value']:.3f})"
    )
