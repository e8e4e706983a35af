"""`fusionrec text …`: the model that scores reviews and comments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fusionrec.settings import Settings
from training.commands.places import require_writable

app = typer.Typer(help="The model that scores reviews: sentiment and topics.", no_args_is_help=True)


@app.command()
def train(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder of the model, made if it is not there; default: the one that is served"),
    ] = None,
) -> None:
    """Fit on rated reviews (fetched by pip, MIT), export to ONNX, measure on held-out reviews."""
    import numpy as np  # noqa: PLC0415  the command line starts without these

    from fusionrec.text.scoring import GRAPH, PACKAGED, TextScorer  # noqa: PLC0415
    from training.text import corpus as texts  # noqa: PLC0415
    from training.text.evaluation import measured  # noqa: PLC0415
    from training.text.export import export  # noqa: PLC0415
    from training.text.model import FitConfig, fit  # noqa: PLC0415

    settings, console, config = Settings.from_env(), Console(), FitConfig()
    folder = out or PACKAGED
    require_writable(folder, "--out")
    corpus = texts.load(settings.home / "downloads")
    console.print(f"{len(corpus.train)} texts to learn from, {len(corpus.held_out)} held out; fitting takes about 20 s")
    with console.status("fitting"):
        model = fit(corpus, config)
    card = {
        "source": f"{texts.SOURCE.package} {texts.SOURCE.version}, sha256 {texts.SOURCE.sha256}",
        "licence": texts.LICENCE,
        "n_texts": len(corpus.train),
        "n_held_out": len(corpus.held_out),
    }
    path = export(model, folder, card)
    scores = TextScorer.open(folder).score([text.text for text in corpus.held_out])
    probabilities = np.array([score.probabilities for score in scores])
    table = Table("held-out reviews", "value", "95 % interval")
    for name, row in measured(corpus.held_out, probabilities.argmax(axis=1), probabilities[:, 0]).items():
        table.add_row(name, f"{row['value']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}")
    console.print(table)
    console.print(f"written to {folder / GRAPH} ({path.stat().st_size / 1024:.0f} KiB)")


@app.command()
def score(text: Annotated[list[str], typer.Argument(help="one or more texts, each in quotes")]) -> None:
    """What the model makes of a text."""
    from fusionrec.adapters.text_models import open_text_model  # noqa: PLC0415
    from fusionrec.text.scoring import SENTIMENTS  # noqa: PLC0415
    from training.feedback.stores import aws_client  # noqa: PLC0415

    scorer = open_text_model(Settings.from_env().text_model, lambda: aws_client("s3"))
    table = Table("text", "sentiment", *SENTIMENTS, "topics")
    for line, found in zip(text, scorer.score(text), strict=True):
        shares = [f"{share:.2f}" for share in found.probabilities]
        table.add_row(line[:60], found.sentiment, *shares, ", ".join(found.topics))
    Console().print(table)
