"""`fusionrec ablate`: what each part is worth to the fusion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fusionrec.errors import BadInputError
from training.commands.console import counted
from training.commands.places import require_out
from training.commands.train import PROTOCOLS, Data, Device, Encoder, Out, one_of, open_dataset

if TYPE_CHECKING:
    from training.ablation import Ablation, Worth

# In the order of `recipe.py`; content and encoder where the data have words for them.
PARTS = (
    "popularity", "ease", "transitions", "slist", "content", "encoder", "attention", "item_knn", "als", "graph",
    "two_tower", "frequency",
)  # fmt: skip


def ablate(
    data: Data = "",
    protocol: Annotated[str, typer.Option(help="temporal or leave-one-out; default: what suits the data")] = "",
    ids_only: Annotated[bool, typer.Option("--ids-only", help="no words, attributes, categories and prices")] = False,
    encoder: Encoder = False,
    without: Annotated[
        str | None,
        typer.Option(help="instead: what these parts are worth together, from end to end; e.g. ease or ease,graph"),
    ] = None,
    out: Out = None,
    device: Device = "auto",
) -> None:
    """Train every kind of part, then the fusion without each of them, and compare on held-out validation users."""
    one_of("--protocol", protocol, ("", *PROTOCOLS))
    names = left_out(without)
    require_out(out)
    dataset, console = open_dataset(data), Console()  # a wrong name is told before torch is there, which takes seconds
    from training.ablation import ablate as measured  # noqa: PLC0415
    from training.commands.console import stage_display  # noqa: PLC0415
    from training.devices import choose  # noqa: PLC0415
    from training.leaving_out import leave_out  # noqa: PLC0415
    from training.models.protocol import Run  # noqa: PLC0415
    from training.recipe import repeats_matter  # noqa: PLC0415
    from training.results import commit, costs_of, places, write_json  # noqa: PLC0415
    from training.stages import Stages  # noqa: PLC0415
    from training.train import Prepared  # noqa: PLC0415
    from training.variants import Variant  # noqa: PLC0415

    with stage_display(console) as report:
        prepared = Prepared.read(dataset, Variant(ids_only, encoder=encoder), report=report)
        chosen: Any = protocol or prepared.protocol
        cut = prepared.split(chosen)
        stages = Stages(dataset.folder / "work", report, Run(device=choose(device)))
        seen: Any = "keep" if repeats_matter(cut.fit) else "mask"
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
    kind = f"leaving-out-{'-'.join(names)}" if names else "ablation"
    name = f"{kind}-{chosen}{prepared.variant.suffix}.json"
    for path in places(dataset, name, out):
        write_json(path, text)
        console.print(f"written: {path}", soft_wrap=True)


def left_out(without: str | None) -> list[str]:
    """The parts that --without names, none when it was not given. Raises BadInputError."""
    names = [name.strip() for name in (without or "").split(",") if name.strip()]
    if without is not None and not names:
        raise BadInputError(f"names no part; there are {', '.join(PARTS)}", pointer="--without")
    for name in names:
        one_of("--without", name, PARTS)
    return list(dict.fromkeys(names))


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
