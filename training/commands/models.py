"""`fusionrec models …`: which bundle is served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fusionrec.errors import DataError
from fusionrec.settings import Settings

app = typer.Typer(help="List, verify, promote and roll back model bundles.", no_args_is_help=True)

Data = Annotated[str, typer.Option("--data", "--dataset", help="name of a data set; default FUSIONREC_DATASET")]
Version = Annotated[str, typer.Argument(help="a version as `models list` shows it; default: the newest")]


@app.command("list")
def list_models(data: Data = "") -> None:
    """All bundles, oldest first, with their test metrics."""
    from training.evaluate import BASELINE, FUSION  # noqa: PLC0415  the command line starts without torch
    from training.publish import published  # noqa: PLC0415

    table = Table("version", "", "data up to", "items", "fusion", "most popular", caption="ndcg@10 on the test window")
    table.columns[0].no_wrap, table.columns[2].min_width = True, len("2026-01-31")
    found, broken = published(_bundles(data))
    for bundle in found:
        manifest = bundle.manifest
        scores = [manifest.metrics.get(name, {}).get("ndcg@10") for name in (FUSION, BASELINE)]
        mark = "current" if bundle.current else "previous" if bundle.previous else ""
        cells = ["–" if score is None else f"{score:.4f}" for score in scores]
        table.add_row(manifest.model_version, mark, manifest.data_cutoff[:10], f"{manifest.n_items:,}", *cells)
    console = Console()
    if found:
        console.print(table)
    for folder in broken:
        console.print(f"{folder.version}: {folder.flaw}", style="yellow", highlight=False, soft_wrap=True)


@app.command()
def verify(version: Version = "", data: Data = "") -> None:
    """Check a bundle against its hashes and this code's feature spec, and load its graph."""
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
    """Serve the version before again."""
    from training import publish  # noqa: PLC0415

    Console().print(f"current: {publish.rollback(_bundles(data))}")


def require_promoted(folder: Path) -> None:
    """Raises DataError with the remedy when no model of this data set is served."""
    if (folder / "bundles" / "current").is_file():
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
