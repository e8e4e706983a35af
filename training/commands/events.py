"""`fusionrec events …`: labels from the raw log, features built again from it, dead letters back into the queue."""

from __future__ import annotations

import hashlib
import math
from contextlib import nullcontext
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fusionrec.adapters.writers import writing
from fusionrec.errors import BadInputError
from fusionrec.settings import Settings
from training.commands.console import counted
from training.commands.log_options import Cloud, From, LogPlace, Name, To, bars, data_folder, window_of

if TYPE_CHECKING:
    from training.feedback.labels import LabelConfig
    from training.feedback.redrive import Outcome

app = typer.Typer(help="What is made of the event log: labels, and live features built again.", no_args_is_help=True)


@app.command()
def replay(data: Name = "", start: From = "", end: To = "", log: LogPlace = "", cloud: Cloud = False) -> None:
    """Build user_session again from the raw log; the rows end as if each event had been absorbed live.

    Interrupted, the same command continues. It may run beside the live consumer in the cloud; locally stop the server.
    """
    from training.feedback.log import Log  # noqa: PLC0415  the command line starts without Arrow
    from training.feedback.replay import replay as run  # noqa: PLC0415
    from training.feedback.stores import cloud_stores, local_stores  # noqa: PLC0415

    settings, window = Settings.from_env(), window_of(start, end)
    folder = data_folder(settings, data)
    place = log or str(folder / "log" / "events")
    console = Console()
    wanted = hashlib.sha256(f"{place} {start} {end}".encode()).hexdigest()[:12]
    scratch = folder / "log" / f"replay-{'cloud' if cloud else 'local'}-{wanted}"
    with nullcontext() if cloud else writing(folder), bars(console) as report:
        stores = cloud_stores(settings) if cloud else local_stores(folder)
        done = run(Log.at(place), window, stores.absorber, stores.links, scratch, report)
    what = f"{counted(done.n_events, 'event')} of {counted(done.n_users, 'user')}"
    console.print(f"{what} absorbed, {counted(done.n_links, 'log-in')} noted")
    if done.gathered.flaw:
        raise BadInputError(f"{done.gathered.flaw}; all others were", pointer=str(done.gathered.rejected))


@app.command()
def labels(
    data: Name = "",
    start: From = "",
    end: To = "",
    log: LogPlace = "",
    slate_log: Annotated[
        str, typer.Option("--slates", help="log of served slates, as --log; default: the data set's log/slates")
    ] = "",
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="how much an act counts, e.g. --set cart=0.5; may be given again (docs/feedback.md)"
        ),
    ] = None,
) -> None:
    """Write feedback/labels.parquet: what was shown and done, with weights and how likely each place was examined."""
    from training.feedback.labels import make_labels  # noqa: PLC0415
    from training.feedback.log import Log  # noqa: PLC0415

    settings, window, console = Settings.from_env(), window_of(start, end), Console()
    config = label_config(weights or [])
    folder = data_folder(settings, data)
    events = Log.at(log or str(folder / "log" / "events"))
    slates = Log.at(slate_log or str(folder / "log" / "slates"))
    with bars(console) as report:
        made = make_labels(events, slates, window, config, folder / "feedback", report)
    exposure = made.exposure
    how = (
        f"estimated from {exposure.n_touches} touches, ± {exposure.standard_error}" if exposure.estimated else "as set"
    )
    console.print(f"{counted(made.n_rows, 'label')}, {made.n_untouched} of items on display that were not touched")
    console.print(f"position bias: exposure = (1 + position) ** -{exposure.eta} ({how})")
    console.print(f"written to {folder / 'feedback' / 'labels.parquet'}")
    if made.gathered.flaw:
        console.print(f"{made.gathered.flaw}; all others were", style="yellow", markup=False)


@app.command()
def sentiment(
    data: Name = "",
    start: From = "",
    end: To = "",
    log: LogPlace = "",
    limit: Annotated[int, typer.Option("--limit", help="how many rows to print", min=1)] = 30,
) -> None:
    """What reviews say: negative share of each item and category, its trend, and surges of negative ones."""
    from fusionrec.adapters.text_models import open_text_model  # noqa: PLC0415
    from training.feedback.log import Log  # noqa: PLC0415
    from training.feedback.sentiment import opinions  # noqa: PLC0415
    from training.feedback.stores import aws_client  # noqa: PLC0415

    settings, window, console = Settings.from_env(), window_of(start, end), Console()
    folder = data_folder(settings, data)
    scorer = open_text_model(settings.text_model, lambda: aws_client("s3"))
    with bars(console) as report:
        found, gathered = opinions(
            Log.at(log or str(folder / "log" / "events")),
            window,
            item_categories(folder),
            scorer,
            folder / "log" / "sentiment",
            report,
        )
    if gathered.flaw:
        console.print(f"{gathered.flaw}; all others were", style="yellow", markup=False)
    if not found:
        console.print("no event of the log carries a text")
        return
    table = Table("what", "users", "negative", "share now", "before", "trend", "surges")
    for row in found[:limit]:
        told = ", ".join(f"{datetime.fromtimestamp(s.at / 1000, UTC):%Y-%m-%d} ({s.topic})" for s in row.surges)
        shares = [f"{row.share:.0%}", f"{row.usual_share:.0%}", f"{row.trend:+.0%}"]
        table.add_row(row.key, str(row.n_voters), str(row.n_negative), *shares, told or "-")
    console.print(table)


def item_categories(folder: Path) -> dict[str, str]:
    """Item → category of the prepared data set; empty where there is none."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    path = folder / "items.parquet"
    if not path.is_file():
        return {}
    table = pq.read_table(path, columns=["item_id", "category"])
    return dict(zip(table["item_id"].to_pylist(), table["category"].to_pylist(), strict=True))


def label_config(given: list[str]) -> LabelConfig:
    """Raises BadInputError for a name or value that is none."""
    from training.feedback.labels import LabelConfig  # noqa: PLC0415

    known = {field.name: field.type for field in fields(LabelConfig)}
    values: dict[str, Any] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in known:
            raise BadInputError(f"no weight {name!r}; there are {', '.join(known)}", pointer="--set")
        try:
            values[name] = int(value) if known[name] == "int" else float(value)
        except ValueError:
            raise BadInputError(f"{value!r} is no number for {name}", pointer="--set") from None
        if not math.isfinite(values[name]):
            raise BadInputError(f"{name} must be a finite number, not {value}", pointer="--set")
    return LabelConfig(**values)


@app.command()
def redrive(
    data: Name = "",
    cloud: Cloud = False,
    only_list: Annotated[bool, typer.Option("--list", help="show the letters and their reasons; move none")] = False,
    queue_url: Annotated[
        str, typer.Option(help="with --cloud: where they go; default: FUSIONREC_EVENT_QUEUE_URL")
    ] = "",
    dead_letter_url: Annotated[
        str, typer.Option(help="with --cloud: where they lie; default: FUSIONREC_DEAD_LETTER_QUEUE_URL")
    ] = "",
) -> None:
    """Give dead letters back to the consumer, once what stopped them is mended; unreadable ones stay."""
    from training.feedback import redrive as work  # noqa: PLC0415
    from training.feedback.stores import aws_client, dead_letter_folder, local_sink  # noqa: PLC0415

    settings, console = Settings.from_env(), Console()
    with console.status("dead letters") as status:

        def progress(n_done: int) -> None:
            status.update(f"dead letters: {n_done}")

        if cloud:
            source = dead_letter_url or settings.dead_letter_queue_url
            target = queue_url or settings.event_queue_url
            if not (source and target):
                raise BadInputError("name both queues; the stack's outputs have them", pointer="--dead-letter-url")
            outcome = work.redrive_queue(aws_client("sqs"), source, target, progress, only_list=only_list)
        else:
            from fusionrec.adapters.local_files import DeadLetterFiles  # noqa: PLC0415

            folder = data_folder(settings, data)
            letters = dead_letter_folder(folder)
            if only_list:
                outcome = work.list_files(letters)
            else:
                with writing(folder):
                    outcome = work.redrive_files(letters, local_sink(folder), DeadLetterFiles(letters), progress)
    show(console, outcome, only_list)


def show(console: Console, outcome: Outcome, only_list: bool) -> None:
    if not outcome.n_done:
        console.print("no dead letters")
        return
    table = Table("reason", "returned", "stayed", "example of what stayed")
    for reason in sorted({*outcome.returned, *outcome.stayed}):
        counts = (str(outcome.returned[reason]), str(outcome.stayed[reason]))
        table.add_row(reason, *counts, outcome.details.get(reason, ""))
    console.print(table)
    if only_list and outcome.n_waiting > outcome.n_done:
        console.print(f"about {outcome.n_waiting} letters wait; a queue shows no more than the first of each group")
    if outcome.stayed and not only_list:
        raise BadInputError(f"{outcome.stayed.total()} letters cannot be read and stay; remove them by hand")
