"""`fusionrec score`: slates for many users at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fusionrec.errors import BadInputError, DataError
from training.commands.console import counted
from training.commands.models import require_promoted
from training.commands.places import require_out
from training.commands.train import Data, open_dataset

if TYPE_CHECKING:
    from fusionrec.bundle.loader import Bundle
    from fusionrec.scoring import Scorer
    from training.batch_scoring import Profiles, Scored

N_RESULTS = 50
PARQUET = ".parquet"
SCENARIOS = ("home", "product", "cart", "email")


def score(
    data: Data = "",
    users: Annotated[str, typer.Option(help="all, or a text file with one user id a line")] = "all",
    n_results: Annotated[
        int | None, typer.Option(min=1, help=f"length of a slate; default {N_RESULTS}, or all that the model ranks")
    ] = None,
    out: Annotated[Path, typer.Option(help="the Parquet file to write; its folder is made")] = Path("slates.parquet"),
    scenario: Annotated[str, typer.Option(help="whose rules hide items: home, product, cart or email")] = "home",
    batch_size: Annotated[int, typer.Option(min=1, help="users in one run of the graph")] = 64,
    threads: Annotated[int, typer.Option(min=0, help="0: one for each core")] = 0,
) -> None:
    """Rank for many users with the promoted model, as the API would, and write user_id, rank, item_id, score.

    On CUDA where onnxruntime-gpu and a GPU are there. An interrupted run continues.
    """
    if scenario not in SCENARIOS:
        raise BadInputError(f"{scenario!r} is not one of {', '.join(SCENARIOS)}", pointer="--scenario")
    if out.suffix not in ("", PARQUET):
        raise BadInputError(f"{out} is written as Parquet; name it {out.with_suffix(PARQUET).name}", pointer="--out")
    if out.is_dir():
        raise BadInputError(f"{out} is a folder; name the file, such as {out / 'slates.parquet'}", pointer="--out")
    require_out(out)
    dataset, console = open_dataset(data), Console()
    require_promoted(dataset.folder)
    from training.batch_scoring import BatchScorer, Options, Profiles, told_of  # noqa: PLC0415  not for --help
    from training.batch_scoring import score as run  # noqa: PLC0415

    bundle, scorer = _opened(dataset.folder / "bundles", threads or os.cpu_count() or 1)
    profiles = Profiles(dataset)
    chosen = _users(users, profiles)
    console.print(f"model {bundle.manifest.model_version} on {_device(scorer.on_gpu)}", soft_wrap=True)
    now_ms = round(dataset.cutoffs.data_end.timestamp() * 1000)
    length = n_results or min(N_RESULTS, bundle.manifest.top_k)
    options, told = Options(length, scenario, batch_size), told_of(bundle, dataset.folder)  # type: ignore[arg-type]
    if told is not None:
        console.print(f"items as of update {told.log.partition(':')[0]} of the item log")
    batch = BatchScorer(bundle, scorer, now_ms, options, told)
    started = time.perf_counter()
    with _bar(console, len(chosen)) as advance:
        done = run(batch, profiles, chosen, out, advance)
    _tell(console, done, time.perf_counter() - started)
    console.print(f"written: {out}", soft_wrap=True)


def _opened(bundles: Path, threads: int) -> tuple[Bundle, Scorer]:
    """The promoted bundle and its graph. Raises BundleError."""
    from fusionrec.adapters.local_files import FolderBundles  # noqa: PLC0415
    from fusionrec.bundle.loader import load_bundle  # noqa: PLC0415
    from fusionrec.scoring import Scorer  # noqa: PLC0415
    from training import publish  # noqa: PLC0415

    promoted = FolderBundles(bundles).fetch()
    with publish.remedied(promoted):
        bundle = load_bundle(promoted)
        return bundle, Scorer.open(bundle.ranker, bundle.manifest, threads)


@contextmanager
def _bar(console: Console, n_users: int) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as display:
        task = display.add_task("users", total=n_users)
        yield lambda n, total: display.update(task, completed=n, total=total)


def _tell(console: Console, done: Scored, seconds: float) -> None:
    if done.n_fresh:
        console.print(f"{_users_of(done.n_fresh)} scored in {seconds:.1f} s, {done.n_fresh / seconds:,.0f} a second")
    if done.n_fresh < done.n_users:
        console.print(f"scored by an earlier run: {_users_of(done.n_users - done.n_fresh)}")
    if done.n_unknown:
        console.print(f"without a history, since they are not known: {_users_of(done.n_unknown)}")


def _users_of(n: int) -> str:
    return counted(n, "user")


def _device(on_gpu: bool) -> str:
    if on_gpu:
        return "CUDA"
    import onnxruntime  # noqa: PLC0415

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return "the CPU: CUDA did not start; check the driver with `nvidia-smi`"
    return "the CPU: this onnxruntime has no CUDA; the extra `gpu` instead of `serve` has"


def _users(asked: str, profiles: Profiles) -> list[str]:
    """Raises DataError for a file that is not there or names nobody."""
    if asked == "all":
        return profiles.user_ids
    try:
        lines = Path(asked).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"{asked} cannot be read ({why}); give `all` or a text file", pointer="--users") from None
    users = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not users:
        raise DataError(f"{asked} names no users; one id a line", pointer="--users")
    return users
