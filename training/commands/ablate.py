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
    from training.ablation import Ablation


def ablate(
    data: Data = "",
    protocol: Annotated[str, typer.Option(help="temporal or leave-one-out; default: what suits the data")] = "",
    ids_only: Annotated[bool, typer.Option("--ids-only", help="no words, attributes and categories")] = False,
    encoder: Encoder = False,
    out: Annotated[Path | None, typer.Option(help="also write the JSON here")] = None,
    device: Device = "auto",
) -> None:
    """Train every kind of part, then the fusion without each of them, and compare on held-out validation users."""
    from training.ablation import ablate as measured  # noqa: PLC0415  the command line starts without torch
    from training.commands.console import stage_display  # noqa: PLC0415
    from training.devices import choose  # noqa: PLC0415
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
        found = measured(
            stages, prepared.data, cut, "keep" if repeats_matter(cut.fit) else "mask", prepared.key(chosen)
        )
    console.print(_table(found, f"{dataset.name}: {chosen}, held-out validation users"))
    facts = {"dataset": dataset.name, "data_hash": dataset.data_hash, "commit": commit(), "protocol": chosen}
    text = json.dumps({**facts, **found.as_json(), "costs": costs_of(stages)}, indent=1, allow_nan=False) + "\n"
    folder = dataset.folder / "evaluation"
    for path in [folder / f"ablation-{chosen}{prepared.variant.suffix}.json", *([out] if out else [])]:
        write_json(path, text)
        console.print(f"written: {path}", soft_wrap=True)


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
            f"{worth.loss:+.4f} ({worth.low:+.4f} to {worth.high:+.4f})",
            f"{cost:.0f}",
            f"{60 * worth.loss / max(cost, 1.0):+.4f}",
            "yes" if set(names) <= set(found.shipped) else "",
        )
    return table
