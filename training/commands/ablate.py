"""`fusionrec ablate`: what each part is worth to the fusion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training.commands.console import counted
from training.commands.places import require_out
from training.commands.train import PROTOCOLS, Data, Device, Encoder, one_of, open_dataset

if TYPE_CHECKING:
    from training.ablation import Ablation, Worth


def ablate(
    data: Data = "",
    protocol: Annotated[str, typer.Option(help="temporal or leave-one-out; default: what suits the data")] = "",
    ids_only: Annotated[bool, typer.Option("--ids-only", help="no words, attributes and categories")] = False,
    encoder: Encoder = False,
    without: Annotated[
        str, typer.Option(help="instead: leave these parts out altogether, names with commas, beside those that are on")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="also write the JSON here")] = None,
    device: Device = "auto",
) -> None:
    """Train every kind of part, then the fusion without each of them, and compare on held-out validation users."""
    from training.ablation import ablate as measured  # noqa: PLC0415  the command line starts without torch
    from training.commands.console import stage_display  # noqa: PLC0415
    from training.devices import choose  # noqa: PLC0415
    from training.leaving_out import leave_out  # noqa: PLC0415
    from training.models.protocol import Run  # noqa: PLC0415
    from training.recipe import repeats_matter  # noqa: PLC0415
    from training.results import commit, costs_of, write_json  # noqa: PLC0415
    from training.stages import Stages  # noqa: PLC0415
    from training.train import Prepared  # noqa: PLC0415
    from training.variants import Variant  # noqa: PLC0415

    one_of("--protocol", protocol, ("", *PROTOCOLS))
    require_out(out)
    dataset, console = open_dataset(data), Console()
    with stage_display(console) as report:
        prepared = Prepared.read(dataset, Variant(ids_only, encoder=encoder), report=report)
        chosen: Any = protocol or prepared.protocol
        cut = prepared.split(chosen)
        stages = Stages(dataset.folder / "work", report, Run(device=choose(device)))
        seen: Any = "keep" if repeats_matter(cut.fit) else "mask"
        names = [name.strip() for name in without.split(",") if name.strip()]
        if names:
            ndcg, n_held_out, worth = leave_out(stages, prepared.data, cut, seen, prepared.key(chosen), names)
        else:
            found = measured(stages, prepared.data, cut, seen, prepared.key(chosen))
    facts = {"dataset": dataset.name, "data_hash": dataset.data_hash, "commit": commit(), "protocol": chosen}
    if names:
        told = f"with {worth.part} {ndcg:.4f}, without {worth.without:.4f}: they are worth {_interval(worth)}"
        console.print(f"NDCG@10 on {counted(n_held_out, 'held-out user')} {told}", soft_wrap=True)
        figures = {"ndcg@10": ndcg, "n_held_out": n_held_out, "left_out": worth.part, **worth.as_json()}
    else:
        console.print(_table(found, f"{dataset.name}: {chosen}, held-out validation users"))
        figures = found.as_json()
    text = json.dumps({**facts, **figures, "costs": costs_of(stages)}, indent=1, allow_nan=False) + "\n"
    folder = dataset.folder / "evaluation"
    kind = "leaving-out" if names else "ablation"
    for path in [folder / f"{kind}-{chosen}{prepared.variant.suffix}.json", *([out] if out else [])]:
        write_json(path, text)
        console.print(f"written: {path}", soft_wrap=True)


def _interval(worth: Worth) -> str:
    return f"{worth.loss:+.4f} ({worth.low:+.4f} to {worth.high:+.4f})"


def _table(found: Ablation, title: str) -> Table:
    table = Table(
        title=title, caption=f"NDCG@10 with all parts: {found.ndcg:.4f} on {counted(found.n_held_out, 'user')}"
    )
    for name in ("part", "NDCG@10 without", "loss (95 %)", "CPU-s", "loss per CPU-min", "shipped"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for worth in [*found.parts, *([found.together] if found.together else [])]:
        names = worth.part.split(", ")
        cost = sum(found.costs[name].cpu_seconds for name in names)
        table.add_row(
            worth.part,
            f"{worth.without:.4f}",
            _interval(worth),
            f"{cost:.0f}",
            f"{60 * worth.loss / max(cost, 1.0):+.4f}",
            "yes" if set(names) <= set(found.shipped) else "",
        )
    return table
