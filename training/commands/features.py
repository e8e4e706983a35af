"""`fusionrec features …`: compute features, register them with Feast, fill the online store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fusionrec.settings import Settings

app = typer.Typer(help="Compute features and fill the feature store; interrupted work continues.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Option(
        "--data", "--dataset", help="name of a prepared data set; default: FUSIONREC_DATASET, else completejourney"
    ),
]
Cloud = Annotated[bool, typer.Option("--cloud", help="the store of feature_repo/feature_store.yaml, not the local one")]
Force = Annotated[bool, typer.Option("--force", help="do it again even when it is done")]


@app.command()
def compute(data: Name = "", force: Force = False) -> None:
    """Compute every view as of the three cut-offs into features/<view>.parquet."""
    run(["compute"], data, False, force)


@app.command()
def apply(data: Name = "", cloud: Cloud = False, force: Force = False) -> None:
    """Register entities, views and feature services with the data set's Feast registry."""
    run(["apply"], data, cloud, force)


@app.command()
def materialize(data: Name = "", cloud: Cloud = False, force: Force = False) -> None:
    """Write the newest rows of every view but the push-only ones to the online store."""
    run(["materialize"], data, cloud, force)


@app.command()
def sync(data: Name = "", cloud: Cloud = False, force: Force = False) -> None:
    """Compute, apply and materialize: all that is not done yet."""
    run(["compute", "apply", "materialize"], data, cloud, force)


def run(stages: list[str], name: str, cloud: bool, force: bool) -> None:
    from training.data.dataset import Dataset  # noqa: PLC0415

    settings = Settings.from_env()
    dataset, console = Dataset.open(settings.home / (name or settings.dataset)), Console()
    from training.data import sync as work  # noqa: PLC0415  with DuckDB and Ibis: after a wrong name is told

    progress = work.Progress.load(dataset, cloud)
    if force:
        progress.forget(stages)
    elif work.is_done(progress, dataset):
        console.print(f"{dataset.folder}: features and online store are up to date (--force does it again)")
        return
    chosen: dict[str, Callable[..., None]] = {stage.__name__: stage for stage in work.STAGES}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as display:
        for stage in stages:
            task = display.add_task(stage, total=None)
            chosen[stage](
                dataset,
                progress,
                lambda what, done, total, task=task: display.update(
                    task, description=what, completed=done, total=total
                ),
            )
    console.print(f"{dataset.folder}: {', '.join(stages)} done")
