"""`fusionrec serve` and `fusionrec demo`: the handlers over a prepared and trained data set."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from fusionrec.errors import DataError, FusionrecError
from fusionrec.settings import Settings
from training.commands.data import folder_name
from training.commands.models import require_promoted

SELF_CONTAINED: Final = ("completejourney", "movielens-100k")  # sources that need no file of the user's
TIDY_S: Final = 20.0  # for an interrupted step to leave things in order

Dataset = Annotated[
    str,
    typer.Option("--data", "--dataset", help="name of a data set; default: FUSIONREC_DATASET, else completejourney"),
]
User = Annotated[str, typer.Option(help="a user of the data set; default: one with typical activity")]


def serve(
    dataset: Dataset = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one")] = 8000,
    open_access: Annotated[
        bool, typer.Option("--open", help="development: answer requests that carry no identity")
    ] = False,
    user: User = "",
) -> None:
    """The HTTP API on a local port, by the same handlers as in the cloud."""
    from training import publish  # noqa: PLC0415 - the command line starts without it

    folder = _folder(dataset)
    require_promoted(folder)
    bundles = folder / "bundles"
    publish.verified(bundles, publish.pointer(bundles))  # the server would refuse it, too, but not know the remedy
    command = [sys.executable, "-m", "functions.local_server", "--port", str(port)]
    command += ["--user", user or typical_user(folder)]
    command += ["--open"] if open_access else []
    os.execve(sys.executable, command, {**os.environ, "FUSIONREC_DATASET": folder.name})  # noqa: S606


def demo(dataset: Dataset = "", user: User = "") -> None:
    """From nothing to recommendations for a real shopper; every step reuses what is there."""
    started = time.monotonic()
    console = Console()
    folder = _folder(dataset)
    dataset = folder.name
    steps = [["features", "sync"], ["train"]]
    if dataset in SELF_CONTAINED:  # the files of another data set are known to whoever prepared it
        steps.insert(0, ["data", "prepare", "--source", dataset])
    environment = {**os.environ, "FUSIONREC_DATASET": dataset}
    for step in steps:
        if user:
            require_user(folder, user)
        console.print(f"[bold]fusionrec {' '.join(step)}[/bold]")
        run_step(step, environment)
    ready_s = time.monotonic() - started
    command = [sys.executable, "-m", "functions.demo", "--user", user or typical_user(folder)]
    status = subprocess.run(command, env=environment, check=False).returncode
    if status:
        raise typer.Exit(status)
    console.print(f"\npipeline {ready_s:.0f} s, with the demo {time.monotonic() - started:.0f} s. "
                  f"Next: {_next(dataset)}")  # fmt: skip


def _folder(dataset: str) -> Path:
    settings = Settings.from_env()
    return settings.home / folder_name(dataset or settings.dataset, "--data")


def _next(dataset: str) -> str:
    """The command that serves what the demo showed."""
    named = "" if dataset == Settings.from_env().dataset else f" --data {dataset}"
    return f"fusionrec serve{named} --open"


def run_step(arguments: list[str], environment: dict[str, str]) -> None:
    """The same command line in its own process, so that a step's memory is given back. Raises FusionrecError."""
    with subprocess.Popen([sys.executable, "-m", "training", *arguments], env=environment) as step:
        try:
            status = step.wait()
        except KeyboardInterrupt:  # the step hears Ctrl-C, too; `subprocess.run` would kill it before it has tidied up
            with suppress(subprocess.TimeoutExpired):
                step.wait(TIDY_S)
            step.terminate()
            raise
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise FusionrecError(f"`fusionrec {' '.join(arguments)}` failed with exit code {status}; its message is above")


def require_user(folder: Path, user: str) -> None:
    """As far as the data are prepared. Raises DataError for a user whom they do not hold."""
    import pyarrow.compute as pc  # noqa: PLC0415 - the command line starts without it

    from training.data.dataset import Dataset  # noqa: PLC0415

    try:
        known = Dataset.open(folder).users["user_id"]
    except DataError:  # not there yet, or damaged: the next step makes them, or says what to do
        return
    if not pc.any(pc.equal(known, user)).as_py():
        raise DataError(
            f"{user!r} is no user of {folder.name}; leave it out for a typical one, such as {typical_user(folder)}",
            pointer="--user",
        )


def typical_user(folder: Path) -> str:
    """Among those active in the last week of the data, the user with the median number of events."""
    import duckdb  # noqa: PLC0415 - the command line starts without it

    events = folder / "events.parquet"
    if not events.is_file():
        raise DataError("no prepared data set there; run `fusionrec data prepare` first", pointer=str(folder))
    row = duckdb.execute(
        """
        with users as (select user_id, count(*) as n, max(sent_at) as latest from read_parquet(?) group by all),
             active as (select * from users where latest >= (select max(latest) from users) - interval 7 day)
        select user_id from active order by abs(n - (select median(n) from active)), user_id limit 1
        """,
        [str(events)],
    ).fetchone()
    if row is None:
        raise DataError("holds no events; prepare the data again with some", pointer=str(events))
    return str(row[0])
