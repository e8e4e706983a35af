"""`fusionrec data …`: prepare data sets and show their reports."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fusionrec.errors import DataError
from fusionrec.settings import Settings
from training.commands.console import counted
from training.commands.places import require_writable

app = typer.Typer(help="Prepare data sets: read, clean, sessionise, split, report.", no_args_is_help=True)

SOURCES = ("completejourney", "movielens-100k", "amazon-sequences", "csv")
LONGEST_WINDOW = 36_500.0  # days; the data's span is checked when it is known


@app.command()
def prepare(
    source: Annotated[str, typer.Option(help=f"one of {', '.join(SOURCES)}")],
    path: Annotated[Path | None, typer.Option(help="amazon-sequences: the file or its folder")] = None,
    events: Annotated[Path | None, typer.Option(help="csv: events, CSV or Parquet (docs/data.md)")] = None,
    items: Annotated[Path | None, typer.Option(help="csv: items, CSV or Parquet")] = None,
    users: Annotated[Path | None, typer.Option(help="csv: users, CSV or Parquet")] = None,
    name: Annotated[str, typer.Option(help="name of the data set; default: the source's")] = "",
    min_item_users: Annotated[
        int | None,
        typer.Option(
            min=0, help="drop items with fewer users before the test window; default: 20 for completejourney, else 1"
        ),
    ] = None,
    min_user_events: Annotated[
        int | None, typer.Option(min=0, help="drop users with fewer events before the test window; default: 1")
    ] = None,
    test_days: Annotated[
        float | None,
        typer.Option(
            min=0.0001, max=LONGEST_WINDOW, help="the test window's length; default: 28, or a tenth of the time if less"
        ),
    ] = None,
    validation_days: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            max=LONGEST_WINDOW,
            help="the validation window's length; default as for the test window",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="prepare again even when nothing changed")] = False,
) -> None:
    """Read a source, clean it, and write a data set that everything else works on.

    The same inputs and options give the same data set: a second run reuses what is there.
    """
    from training.data.prepare import Options  # noqa: PLC0415  the command line starts without DuckDB and Ibis
    from training.data.prepare import prepare as run  # noqa: PLC0415
    from training.data.sources.frame import Inputs  # noqa: PLC0415
    from training.data.sources.registry import source_named  # noqa: PLC0415

    chosen = source_named(source)
    home = Settings.from_env().home
    require_writable(home, "FUSIONREC_HOME")
    inputs = Inputs(home=home, path=path, events=events, items=items, users=users)
    options = Options(min_item_users, min_user_events, test_days, validation_days, force)
    console = Console()
    label = folder_name(name or source)
    held = items_through(home / label)
    with console.status("starting") as status:
        dataset, reused = run(chosen, inputs, label, options, lambda text: status.update(f"{label}: {text}"))
    if reused:
        console.print(f"{dataset.folder} is up to date: same inputs and options (--force prepares it again)")
        return
    if held is not None and (n_since := (items_through(dataset.folder) or 0) - held) > 0:
        console.print(f"{counted(n_since, 'item update')} since: prepared again")
    show(dataset.folder)


def items_through(folder: Path) -> int | None:
    """The last update of items that these data hold, 0 where they hold none; None where nothing is prepared."""
    from training.data.dataset import Dataset  # noqa: PLC0415
    from training.data.updates import THROUGH  # noqa: PLC0415

    with suppress(DataError):
        return int(Dataset.open(folder).metadata.get(THROUGH, 0))
    return None


@app.command("report")
def show_report(name: Annotated[str, typer.Argument(help="name of a prepared data set")]) -> None:
    """Show the report of a prepared data set again."""
    show(Settings.from_env().home / folder_name(name, "NAME"))


def show(folder: Path) -> None:
    from training.data.protocols import cautions  # noqa: PLC0415
    from training.data.report import for_terminal  # noqa: PLC0415

    path = folder / "report.json"
    if not path.is_file():
        raise DataError("no report there; run `fusionrec data prepare` first", pointer=str(path))
    console = Console()
    report = json.loads(path.read_text())
    console.print(for_terminal(report))
    for caution in (*report.get("cautions", ()), *cautions(report.get("protocols", {}))):
        console.print(f"caution: {caution}", style="yellow", markup=False, soft_wrap=True)
    console.print(f"written to {folder}; rejected lines are in quarantine.csv")


def folder_name(name: str, pointer: str = "--name") -> str:
    """A data set's name is one folder below the workspace. Raises DataError that names the option `pointer`."""
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
        raise DataError(f"{name!r} is no name for a data set; use letters, digits, -, _ and .", pointer=pointer)
    return name
