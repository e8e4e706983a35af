"""`fusionrec models …`: which bundle is served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fusionrec.errors import DataError
from fusionrec.settings import Settings

if TYPE_CHECKING:
    from training.publish import Published

app = typer.Typer(help="List, verify, promote and roll back model bundles.", no_args_is_help=True)

Data = Annotated[
    str,
    typer.Option("--data", "--dataset", help="name of a data set; default: FUSIONREC_DATASET, else completejourney"),
]
Version = Annotated[str, typer.Argument(help="a version as `models list` shows it; default: the newest")]


@app.command("list")
def list_models(data: Data = "") -> None:
    """All bundles, oldest first, with their test metrics, and which one is served (current).

    What cannot be read or served goes to stderr as a caution, with exit code 0; `models verify` looks closer.
    """
    from training import publish  # noqa: PLC0415  the command line starts without pydantic and numpy

    bundles = _bundles(data)
    found, broken = publish.published(bundles)
    if found:
        Console().print(_table(found))
    marks = {publish.pointer(bundles, name): f" ({name})" for name in (publish.PREVIOUS, publish.CURRENT)}
    cautions = [f"{folder.version}{marks.get(folder.version, '')}: {folder.flaw}" for folder in broken]
    for told in filter(None, (*cautions, publish.astray(bundles))):
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"caution: {told}", style="yellow", markup=False)


def _table(found: Sequence[Published]) -> Table:
    """Without lines, which would not fit into 80 columns beside the versions."""
    from training.publish import BASELINE, FUSION, GATE_METRIC  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, caption_justify="left")
    table.caption = f"{GATE_METRIC} on the test window"
    for name in ("version", "", "data up to"):
        table.add_column(name, no_wrap=True)
    for name in ("items", "fusion", "most popular"):
        table.add_column(name, justify="right", no_wrap=name == "items")
    for bundle in found:
        manifest = bundle.manifest
        scores = [manifest.metrics.get(name, {}).get(GATE_METRIC) for name in (FUSION, BASELINE)]
        mark = "current" if bundle.current else "previous" if bundle.previous else ""
        cells = ["–" if score is None else f"{score:.4f}" for score in scores]
        table.add_row(manifest.model_version, mark, manifest.data_cutoff[:10], f"{manifest.n_items:,}", *cells)
    return table


@app.command()
def verify(version: Version = "", data: Data = "") -> None:
    """Check a bundle against its hashes and this code's feature spec, and load its graph. Exit code 1 if it fails."""
    from training import publish  # noqa: PLC0415

    bundles = _bundles(data)
    manifest = publish.check(bundles, version or publish.newest(bundles))
    Console().print(f"{manifest.model_version}: {len(manifest.files)} files verified, the graph loads")


@app.command()
def promote(version: Version = "", data: Data = "") -> None:
    """Serve this bundle. Refused (exit code 1) unless its fusion beat the most popular items on the test window."""
    from training import publish  # noqa: PLC0415

    bundles = _bundles(data)
    version = version or publish.newest(bundles)
    before = publish.promote(bundles, version)
    Console().print(f"current: {version}" + (f" (before: {before})" if before and before != version else ""))


@app.command()
def rollback(data: Data = "") -> None:
    """Serve the version before again; a second rollback returns."""
    from training import publish  # noqa: PLC0415

    Console().print(f"current: {publish.rollback(_bundles(data))}")


def require_promoted(folder: Path) -> None:
    """Raises DataError with the remedy when no model of this data set is served."""
    from training import publish  # noqa: PLC0415

    bundles = folder / "bundles"
    if told := publish.astray(bundles):
        raise DataError(told)
    if publish.pointer(bundles):
        return
    told = f"no trained model there; run `fusionrec train --data {folder.name}` first"
    if any(folder.glob("bundles/*/manifest.json")):
        told = f"a model is trained but none was promoted; `fusionrec models promote --data {folder.name}` says why"
    raise DataError(told, pointer=str(folder))


def _bundles(data: str) -> Path:
    settings = Settings.from_env()
    folder = settings.home / (data or settings.dataset)
    if not folder.is_dir():
        raise DataError(
            "no such data set; `fusionrec data prepare` makes one, --data names another", pointer=str(folder)
        )
    return folder / "bundles"
