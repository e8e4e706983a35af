"""`fusionrec train` and `fusionrec evaluate`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fusionrec.errors import BadInputError
from fusionrec.settings import Settings
from training.commands.cautions import caution_if_below_best
from training.commands.places import require_out

if TYPE_CHECKING:
    from training.data.dataset import Dataset
    from training.devices import Device as ChosenDevice
    from training.results import Result
    from training.train import Judged, Prepared

Data = Annotated[
    str,
    typer.Option(
        "--data", "--dataset",
        help="name of a prepared data set, or its folder; default: FUSIONREC_DATASET, else completejourney",
    ),
]  # fmt: skip
Device = Annotated[str, typer.Option("--device", help="cpu, cuda (mixed precision), or auto: cuda where there is one")]
Out = Annotated[
    Path | None,
    typer.Option(help="also write the JSON to this file, whose folder is made, or into this folder if it is there"),
]
PROTOCOLS = ("temporal", "leave-one-out")
LABELS = ("validation", "earlier", "step-back")
TIES = ("file", "shuffled")
MAX_SEED = 2**31 - 1
Encoder = Annotated[
    bool, typer.Option("--encoder", help="with the texts' meaning, by the extra `encoder`; takes minutes once")
]


def train(
    data: Data = "",
    promote: Annotated[bool, typer.Option(help="serve the bundle if it beats the most popular items")] = True,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="of all that is drawn at random")] = 0,
    feedback: Annotated[bool, typer.Option(help="learn from what `events labels` wrote, where it is there")] = True,
    encoder: Encoder = False,
) -> None:
    """Fit the parts, fuse them, judge them on the test window, and write a bundle of everything.

    An interrupted run continues; a run with the same data, settings and code returns the bundle that is there.
    """
    dataset, console = open_dataset(data), Console()  # a wrong name is told before torch is there, which takes seconds
    from training import publish, update_state  # noqa: PLC0415
    from training.commands.console import show_evaluation  # noqa: PLC0415
    from training.devices import choose  # noqa: PLC0415
    from training.item_columns import require_features  # noqa: PLC0415

    chosen = choose(device)
    require_features(dataset)  # before the minutes of training, not after
    bundles = dataset.folder / "bundles"
    prepared, path, judged = trained(dataset, seed, chosen, console, feedback=feedback, encoder=encoder)
    show_evaluation(console, judged.evaluation, f"{dataset.name}: test window, {judged.protocol}")
    caution_if_below_best(console, judged.evaluation, dataset.folder.name)
    if prepared.data.feedback is not None:
        told = prepared.data.feedback
        n_worth = int((told.worth == told.worth).sum())
        console.print(f"learnt from {n_worth} labels and {len(told.refused)} items on display that nobody touched")
    console.print(f"bundle {path}", soft_wrap=True)
    if promote:
        publish.promote(bundles, path.name)
        console.print(f"promoted: {bundles / publish.CURRENT} → {path.name}", soft_wrap=True)
    update_state.prune(dataset, (publish.pointer(bundles), publish.pointer(bundles, publish.PREVIOUS), path.name))


def trained(
    dataset: Dataset, seed: int, device: ChosenDevice, console: Console, *, feedback: bool, encoder: bool
) -> tuple[Prepared, Path, Judged]:
    """Fit, fuse, judge, write the bundle, and record the run."""
    from training.commands.console import stage_display  # noqa: PLC0415
    from training.models.protocol import Run  # noqa: PLC0415
    from training.stages import Stages  # noqa: PLC0415
    from training.tracking import tracked  # noqa: PLC0415
    from training.train import Prepared, train  # noqa: PLC0415
    from training.variants import Variant  # noqa: PLC0415

    noted = {"seed": seed, "feedback": feedback, "encoder": encoder, "device": str(device)}
    with tracked("train", dataset, noted) as tracking, stage_display(console) as report:
        heard = tracking.hearing(report)
        stages = Stages(dataset.folder / "work", heard, Run(record=tracking.record, device=device))
        prepared = Prepared.read(dataset, Variant(encoder=encoder), feedback=feedback, report=heard)
        path, judged = train(prepared, stages, dataset.folder / "bundles", seed)
        facts = {"recipe": judged.recipe, "key": judged.key, "seen": judged.evaluation.seen}
        tracking.conclude(judged.evaluation.means(), **facts, bundle=path.name)
    return prepared, path, judged


def evaluate(
    data: Data = "",
    protocol: Annotated[str, typer.Option(help="temporal or leave-one-out; default: what suits the data")] = "",
    seen: Annotated[str, typer.Option(help="keep or mask items of the history; default: keep if users repeat")] = "",
    out: Out = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="of training, shuffled ties, equal scores and resampling")
    ] = 0,
    device: Device = "auto",
    ties: Annotated[str, typer.Option(help="order of events whose true order is unknown: file, or shuffled")] = "file",
    ids_only: Annotated[bool, typer.Option("--ids-only", help="no words, attributes, categories and prices")] = False,
    labels: Annotated[
        str,
        typer.Option(
            help="what the fusion learns from: validation, earlier or step-back; default: what suits the data"
        ),
    ] = "",
    encoder: Encoder = False,
    details: Annotated[bool, typer.Option("--details", help="print every table that the JSON holds")] = False,
) -> None:
    """Rank the whole catalogue for every test user with each part and the fusion; print and keep the table."""
    asked = Asked(protocol, seen, seed, ties, ids_only, labels, encoder)
    asked.check()
    require_out(out)
    dataset, console = open_dataset(data), Console()  # a wrong name is told before torch is there, which takes seconds
    from training.commands.console import detail_tables, show_evaluation  # noqa: PLC0415
    from training.devices import choose  # noqa: PLC0415
    from training.results import write_results  # noqa: PLC0415

    result = evaluated(dataset, asked, choose(device), console)
    evaluation, variant = result.judged.evaluation, result.prepared.variant
    show_evaluation(console, evaluation, f"{dataset.name}: test, {result.judged.protocol}{variant.title}")
    caution_if_below_best(console, evaluation, dataset.folder.name)
    for table in detail_tables(evaluation, result.points, result.costs) if details else ():
        console.print(table)
    for path in write_results(result, out):
        console.print(f"written: {path}", soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """What an evaluation is asked for; empty texts leave the choice to the data."""

    protocol: Any = ""
    seen: Any = ""
    seed: int = 0
    ties: Any = "file"
    ids_only: bool = False
    labels: Any = ""
    encoder: bool = False

    def check(self) -> None:
        """Raises BadInputError that names the option."""
        one_of("--protocol", self.protocol, ("", *PROTOCOLS))
        one_of("--seen", self.seen, ("", "keep", "mask"))
        one_of("--ties", self.ties, TIES)
        one_of("--labels", self.labels, ("", *LABELS))


def evaluated(dataset: Dataset, asked: Asked, device: ChosenDevice, console: Console) -> Result:
    """Train without the test window, look at it once, and record the run."""
    from training.commands.console import stage_display  # noqa: PLC0415
    from training.models.protocol import Run  # noqa: PLC0415
    from training.results import Result, costs_of, measure_trade_off  # noqa: PLC0415
    from training.stages import Stages  # noqa: PLC0415
    from training.tracking import tracked  # noqa: PLC0415
    from training.train import Prepared, judge  # noqa: PLC0415
    from training.variants import Variant  # noqa: PLC0415

    variant = Variant(asked.ids_only, asked.ties, asked.seed, asked.encoder)
    with stage_display(console) as report:
        prepared = Prepared.read(dataset, variant, report=report)
    protocol = asked.protocol or prepared.protocol
    noted = {**asdict(asked), "protocol": protocol, "device": str(device)}
    with tracked("evaluate", dataset, noted) as run, stage_display(console) as report:
        stages = Stages(dataset.folder / "work", run.hearing(report), Run(record=run.record, device=device))
        judged = judge(prepared, stages, protocol, asked.seen or None, asked.seed, asked.labels or None)
        run.conclude(judged.evaluation.means(), recipe=judged.recipe, key=judged.key, seen=judged.evaluation.seen)
        points = measure_trade_off(prepared, judged, lambda share: report("accuracy against diversity", share))
    return Result(prepared, judged, points, costs_of(stages))


def open_dataset(data: str) -> Dataset:
    """By name below FUSIONREC_HOME, or by folder. Raises DataError."""
    from training.data.dataset import FILE_NAME, Dataset  # noqa: PLC0415

    settings = Settings.from_env()
    named = settings.home / (data or settings.dataset)
    folder = Path(data) if data and not named.exists() and (Path(data) / FILE_NAME).exists() else named
    return Dataset.open(folder)


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises BadInputError."""
    if value not in allowed:
        raise BadInputError(f"{value!r} is not one of {', '.join(filter(None, allowed))}", pointer=option)
