"""`fusionrec …`: one command group a file under `commands/`.

Exit codes: 0 done, 1 failed, 2 bad input or usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from fusionrec.errors import BadInputError, FusionrecError
from training.commands import ablate, data, events, features, models, score, search, serve, text, train, update

INTERRUPTED: Final = 130

app: Final = typer.Typer(no_args_is_help=True)
app.add_typer(data.app, name="data")
app.add_typer(features.app, name="features")
app.add_typer(events.app, name="events")
app.add_typer(models.app, name="models")
app.add_typer(text.app, name="text")
app.command()(train.train)
app.command()(train.evaluate)
app.command()(update.update)
app.command()(ablate.ablate)
app.command()(search.search)
app.command()(score.score)
app.command()(serve.serve)
app.command()(serve.demo)


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"fusionrec {metadata.version('fusionrec')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Recommendations for online shops: prepare data, train, evaluate, serve."""


def main() -> None:
    """Run a command; an expected error is one line on stderr."""
    try:
        _run()
    except FusionrecError as error:
        where = f"{error.pointer}: " if isinstance(error, BadInputError) and error.pointer else ""
        _fail(f"{where}{error}", 2 if isinstance(error, BadInputError) else 1)
    except OSError as error:
        if not (error.filename and error.strerror):  # of no file: a fault of ours
            raise
        _fail(f"{error.filename}: cannot be read or written ({error.strerror}); check the path and its rights", 2)
    except (KeyboardInterrupt, SystemExit, RuntimeError) as ended:
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:  # Typer turns Ctrl-C into this code
            raise
        if isinstance(ended, RuntimeError) and str(ended) != "Query interrupted":  # and DuckDB into this error
            raise
        Console(stderr=True).print("interrupted; run the same command again to continue", style="yellow")
        sys.exit(INTERRUPTED)


def _fail(told: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {told}", style="red", markup=False)
    sys.exit(code)


def _run() -> None:
    """The command; of several processes under `torchrun` the first runs it, and the others help it to train."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        from training import distributed  # noqa: PLC0415 - the command line starts without torch

        if distributed.launched():
            distributed.run(app)
            return
    app()


def run() -> None:
    """`main` for a process of its own, which then leaves at once.

    At the interpreter's teardown DuckDB's binding would print a hundred lines about leaks of its own.
    """
    code: int | str | None = 0
    try:
        main()
    except SystemExit as exited:
        code = exited.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
