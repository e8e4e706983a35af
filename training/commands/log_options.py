"""What the commands on the event log share: their options, the window of receipt, and bars of progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fusionrec.errors import BadInputError
from fusionrec.settings import Settings
from training.commands.data import folder_name

if TYPE_CHECKING:
    from training.feedback.log import Window

Name = Annotated[
    str,
    typer.Option("--data", "--dataset", help="name of a data set; default: FUSIONREC_DATASET, else completejourney"),
]
Cloud = Annotated[
    bool, typer.Option("--cloud", help="the stores that the FUSIONREC_ variables name, not the local ones")
]
From = Annotated[str, typer.Option("--from", help="first day or time of receipt, UTC; e.g. 2026-11-01")]
To = Annotated[str, typer.Option("--to", help="day or time before which receipt ended; 2026-11-02 leaves that day out")]
LogPlace = Annotated[
    str, typer.Option("--log", help="folder or s3://bucket/prefix; default: the data set's log/events")
]


def window_of(start: str, end: str) -> Window:
    from training.feedback.log import Window  # noqa: PLC0415

    first, last = moment(start, "--from"), moment(end, "--to")
    if first and last and first >= last:
        raise BadInputError(f"{start} is not before --to {end}, so nothing lies between them", pointer="--from")
    return Window(first, last)


def moment(text: str, option: str) -> datetime | None:
    """A day or a time; without an offset it is UTC. Raises BadInputError."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInputError(f"{text!r} is no day or time such as 2026-11-01", pointer=option) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def data_folder(settings: Settings, name: str) -> Path:
    return settings.home / folder_name(name or settings.dataset, "--data")


@contextmanager
def bars(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as display:

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = display.add_task(what, total=total)
            display.update(tasks[what], completed=done, total=total)

        yield report
