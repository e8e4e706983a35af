"""`fusionrec search`: better settings for one part."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fusionrec.errors import BadInputError
from training.commands.console import counted
from training.commands.train import MAX_SEED, Data, Device, open_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from training.data.dataset import Dataset
    from training.devices import Device as ChosenDevice
    from training.search.study import Search, Standing

PARTS = (
    "popularity", "ease", "transitions", "slist", "content", "als", "item_knn", "graph", "two_tower", "attention",
)  # fmt: skip


def search(
    part: Annotated[str, typer.Option(help=f"one of {', '.join(PARTS)}")],
    data: Data = "",
    minutes: Annotated[float, typer.Option(min=0, help="how long; 0 only looks at what earlier runs found")] = 10.0,
    users: Annotated[int, typer.Option(min=2, help="validation users to choose on, and as many to check on")] = 1000,
    apply: Annotated[bool, typer.Option(help="use the settings found, if they proved better")] = True,
    afresh: Annotated[bool, typer.Option("--afresh", help="start from the recipe's own settings")] = False,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="of users, draws and ties")] = 0,
    device: Device = "auto",
) -> None:
    """Try settings of one part on validation requests, never on the test window, and keep the best with its evidence.

    A run goes on where the one before it ended; several processes may search the same part at once.
    """
    dataset, console = open_dataset(data), Console()  # a wrong name is told before torch is there, which takes seconds
    from training import distributed  # noqa: PLC0415
    from training.devices import choose  # noqa: PLC0415
    from training.search.prepared import search_of  # noqa: PLC0415
    from training.search.spaces import searchable  # noqa: PLC0415
    from training.train import Prepared  # noqa: PLC0415

    if distributed.launched():
        raise BadInputError("runs in one process; start the command several times instead of using torchrun")
    searchable(part)
    chosen = choose(device)
    wanted = search_of(Prepared.read(dataset), part, users, seed, from_defaults=afresh)
    noted = {"part": part, "minutes": minutes, "users": users, "seed": seed, "device": str(chosen)}
    if not minutes:
        _print(console, looked_up(wanted, dataset))
        return
    found = searched(wanted, dataset, noted, chosen, console, apply=apply)
    path = _keep(found, dataset, part)
    _print(console, found)
    console.print(f"written: {path}", soft_wrap=True)


def looked_up(wanted: Search, dataset: Dataset) -> dict[str, Any]:
    """The evidence of earlier runs; nothing is written."""
    from training.search.evidence import evidence  # noqa: PLC0415
    from training.search.study import known_study  # noqa: PLC0415

    study = known_study(wanted, _journal(dataset, wanted.part))
    if study is None:
        detail = (
            f"0 only looks at what earlier runs found; on these data none finished a trial of {wanted.part} "
            "as it is set now, with these --users and --seed and this code; give the same, or more minutes"
        )
        raise BadInputError(detail, pointer="--minutes")
    return {**evidence(wanted, study), "in_use": False}


def searched(
    wanted: Search, dataset: Dataset, noted: dict[str, Any], device: ChosenDevice, console: Console, *, apply: bool
) -> dict[str, Any]:
    """Climb for `noted["minutes"]`, record the run, and return the evidence."""
    from training.models.protocol import Run  # noqa: PLC0415
    from training.results import commit  # noqa: PLC0415
    from training.search.evidence import evidence  # noqa: PLC0415
    from training.search.study import climb, open_study  # noqa: PLC0415
    from training.tracking import tracked  # noqa: PLC0415

    seconds, part = noted["minutes"] * 60, noted["part"]
    study = open_study(wanted, _journal(dataset, part))
    with tracked("search", dataset, {**noted, "study": study.study_name}) as run:
        run.begin()
        with budget_display(console, seconds, part) as tell:
            climb(wanted, study, seconds, Run(record=run.record, device=device), tell)
        found = {**evidence(wanted, study), "data_hash": dataset.data_hash, "commit": commit()}
        found["run_id"], found["in_use"] = run.folder.name, bool(found["better"] and apply)
        run.metrics.update({name: found["chosen_on"][name] for name in ("best", "default")})
    return found


def _journal(dataset: Dataset, part: str) -> Path:
    return dataset.folder / "search" / f"{part}.journal"


def _keep(found: dict[str, Any], dataset: Dataset, part: str) -> Path:
    from training.best_settings import best_file, write_best  # noqa: PLC0415

    path = best_file(dataset, part)
    if not found["in_use"] and path.exists() and json.loads(path.read_bytes())["in_use"]:
        path = path.with_name(f"latest-{part}.json")  # an earlier winner stays in use until a better one is found
    write_best(path, found)
    return path


@contextmanager
def budget_display(console: Console, seconds: float, part: str) -> Iterator[Callable[[Standing], None]]:
    """The time that is spent, the trials, and the best of them; in a log one line for each better trial."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    best: list[float] = []
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console,
        disable=not console.is_terminal,
    ) as display:  # fmt: skip
        task = display.add_task(f"{part}: the settings in use", total=max(seconds, 1.0))

        def tell(standing: Standing) -> None:
            text = f"{part}: {counted(standing.n_trials, 'trial')}"
            if standing.best is not None:
                text += f", best {standing.best:.4f}"
            if standing.default is not None:
                text += f" (in use {standing.default:.4f})"
            display.update(task, description=text, completed=min(standing.seconds, seconds))
            if not console.is_terminal and standing.best is not None and (not best or standing.best > best[-1]):
                best.append(standing.best)
                console.print(text)

        yield tell


def _print(console: Console, found: dict[str, Any]) -> None:
    gain = found["checked_on"]["best_minus_default"]
    settings = ", ".join(f"{path} {_short(value)}" for path, value in found["settings"].items())
    console.print(f"best of {counted(found['n_trials']['finished'], 'trial')}: {settings}")
    console.print(
        f"on {counted(found['checked_on']['n_users'], 'other user')}: {gain['difference']:+.4f} "
        f"({gain['low']:+.4f} to {gain['high']:+.4f}) {found['metric']}"
    )
    if found["in_use"]:
        console.print("proved better: in use from the next training")
    elif found["better"]:
        console.print("proved better, not in use; a run with --apply and some --minutes takes them into use")
    else:
        console.print("not proved better than what is in use, which stays; more --minutes may find more")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
