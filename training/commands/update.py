"""`fusionrec update`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from training.commands.cautions import caution_if_below_best
from training.commands.train import Data, Device, open_dataset

if TYPE_CHECKING:
    from training.data.dataset import Dataset
    from training.devices import Device as ChosenDevice
    from training.update import Updated
    from training.update_source import News

_NAMED = 5  # items in a line


def update(
    data: Data = "",
    test_days: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            max=36_500.0,
            help="the model is judged on the last days of the new events; default: half of them, at most 28",
        ),
    ] = None,
    fine_tune: Annotated[bool, typer.Option("--fine-tune", help="attention goes on learning, too")] = False,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote",
            help="serve the bundle if it beats the most popular items and does not lose against the model before",
        ),
    ] = False,
    device: Device = "auto",
) -> None:
    """Bring the served model up to date with newer events, without a training, and write it as a new bundle.

    EASE, transitions and popularity follow; the other parts and the fusion stay as `fusionrec train` learnt them.
    An interrupted run continues.
    """
    dataset, console = open_dataset(data), Console()  # a wrong name is told before torch is there, which takes seconds
    from training import publish, update_state  # noqa: PLC0415
    from training.commands.console import show_evaluation  # noqa: PLC0415
    from training.devices import choose  # noqa: PLC0415
    from training.item_columns import require_features  # noqa: PLC0415
    from training.update import require_no_loss  # noqa: PLC0415

    chosen, bundles = choose(device), dataset.folder / "bundles"
    require_features(dataset)
    done = updated(dataset, test_days, chosen, console, fine_tune=fine_tune)
    if done is None:
        console.print(f"{publish.pointer(bundles)} has seen all these events: nothing to do")
        return
    for line in told(done.news, dataset.folder.name):
        console.print(line, soft_wrap=True, highlight=False)
    title = f"{dataset.name}: new events from {done.tail_from:%Y-%m-%d %H:%M} on, before they were learnt from"
    show_evaluation(console, done.tested.evaluation, title)
    caution_if_below_best(console, done.tested.evaluation, dataset.folder.name)
    console.print(verdict(done, fine_tune), soft_wrap=True, highlight=False)
    if done.anew:
        console.print("EASE was fitted anew; the next update goes on from there")
    console.print(f"bundle {done.folder}", soft_wrap=True)
    if promote:
        require_no_loss(done)
        publish.promote(bundles, done.folder.name)
        console.print(f"promoted: {bundles / publish.CURRENT} → {done.folder.name}", soft_wrap=True)
    kept = (publish.pointer(bundles), publish.pointer(bundles, publish.PREVIOUS), done.folder.name)
    update_state.prune(dataset, kept)


def updated(
    dataset: Dataset, test_days: float | None, device: ChosenDevice, console: Console, *, fine_tune: bool
) -> Updated | None:
    """Bring up to date, judge, write the bundle, and record the run; None when there is nothing new."""
    from training.commands.console import stage_display  # noqa: PLC0415
    from training.fine_tuning import FineTuneConfig  # noqa: PLC0415
    from training.models.protocol import Run  # noqa: PLC0415
    from training.stages import Stages  # noqa: PLC0415
    from training.tracking import tracked  # noqa: PLC0415
    from training.update import update  # noqa: PLC0415

    noted = {"test_days": test_days, "fine_tune": fine_tune, "device": str(device)}
    with tracked("update", dataset, noted) as tracking, stage_display(console) as report:
        run = Run(record=tracking.record, device=device)
        stages = Stages(dataset.folder / "work", tracking.hearing(report), run)
        done = update(dataset, stages, test_days, FineTuneConfig() if fine_tune else None)
        if done is not None:
            tracking.conclude(done.tested.evaluation.means(), before=done.before, bundle=done.folder.name)
    return done


def told(news: News, name: str) -> list[str]:
    """What came, and what of it has to wait."""
    lines = [
        f"{news.n_new_events:,} new events; {news.n_changed_users:,} users changed, {news.n_new_users:,} of them new, "
        f"{news.n_gone_users:,} gone"
    ]
    if news.unknown:
        n_events = sum(news.unknown.values())
        lines.append(
            f"{len(news.unknown):,} items with {n_events:,} events are unknown to the model and wait for the next "
            f"`fusionrec train --data {name}`: {_some(sorted(news.unknown))}"
        )
    if news.missing:
        lines.append(
            f"{len(news.missing):,} items of the model are no longer in the data and stay in it until then; take them "
            f"off slates with PUT /v1/items: {_some(news.missing)}"
        )
    return lines


def verdict(done: Updated, fine_tune: bool) -> str:
    gain = done.tested.gain
    tuned = f"; attention learnt for {done.tested.n_epochs} epochs more" if fine_tune else ""
    return (
        f"ndcg@10 {gain['after']:.4f}, of {done.before} {gain['before']:.4f}: {gain['difference']:+.4f} "
        f"({gain['low']:+.4f} to {gain['high']:+.4f}, p = {gain['p_value']:.3f}){tuned}"
    )


def _some(items: list[str] | tuple[str, ...]) -> str:
    return ", ".join(items[:_NAMED]) + (", …" if len(items) > _NAMED else "")
