"""`nima evaluate` and `nima compare`: models judged by photos that people rated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.cli import options
from siamese_nima.cli.data import Columns, Photos, Raters, Scale, Splits, parse_scale
from siamese_nima.cli.options import needs_extra, open_scorer
from siamese_nima.cli.run import progress_bar
from siamese_nima.scoring.scorer import ScorerOptions

Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="Rated photos: a CSV, or a published set as NAME:FOLDER such as biq2021:data/BIQ2021.",
        show_default=False,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help="Split to judge by; default: test where there is one, else all photos."),
]
OutFolder = Annotated[
    Path, typer.Option("--out", "-o", help="Folder of the report.", file_okay=False)
]
Force = Annotated[
    bool, typer.Option("--force", help="Judge by photos the model was trained on; marked so.")
]
Repeats = Annotated[int, typer.Option(min=10, help="Resamples behind the 95 % intervals.")]


def evaluate(
    model: Annotated[str, typer.Argument(help="Name or file of the model.", metavar="MODEL")],
    data: Data,
    photos: Photos = None,
    scale: Scale = None,
    splits: Splits = None,
    columns: Columns = None,
    raters: Raters = None,
    split: Split = None,
    out: OutFolder = Path("evaluation"),
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Rating from which on a photo is good, on the ratings' scale: gives the score to "
            "cut at.",
        ),
    ] = None,
    precision: Annotated[
        float, typer.Option(help="Share of good photos wanted above the cut.")
    ] = 0.9,
    force: Force = False,
    repeats: Repeats = 1000,
    log: Annotated[
        Path | None,
        typer.Option(help="Folder of the training run, for its curves; found beside the model."),
    ] = None,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    view: options.View = None,
    device: options.Device = "cpu",
    exact: options.Exact = False,
) -> None:
    """Judge a model by photos that people rated: a report in Markdown and HTML, figures in JSON.

    Example: nima evaluate quality --data biq2021:data/BIQ2021 --splits splits.csv
    """
    with needs_extra("train", "evaluating a model"):
        from siamese_nima.datasets.sources import parse_columns
        from siamese_nima.evaluation import judging
        from siamese_nima.evaluation.plots import log_of
    training_log = log_of(model, log)
    scorer = open_scorer(
        model,
        options=ScorerOptions(
            view=view, batch_size=batch_size, workers=workers, device=device, exact=exact
        ),
    )
    with progress_bar(f"scoring by {scorer.card.name}") as report:
        result = judging.evaluate(
            scorer,
            data,
            photos=photos,
            scale=parse_scale(scale),
            splits=splits,
            columns=parse_columns(columns or ()),
            raters=raters,
            split=split,
            good=threshold,
            precision=precision,
            force=force,
            repeats=repeats,
            report=report,
        )
    page = result.write(out, log=training_log)
    for line in [*result.lines(), f"wrote {page}, report.md, figures.json, scores.csv"]:
        typer.echo(line)
    if result.model.failed:
        raise typer.Exit(1)


def compare(
    first: Annotated[str, typer.Argument(help="Name or file of a model.", metavar="FIRST")],
    second: Annotated[str, typer.Argument(help="Another.", metavar="SECOND")],
    data: Data,
    photos: Photos = None,
    scale: Scale = None,
    splits: Splits = None,
    columns: Columns = None,
    raters: Raters = None,
    split: Split = None,
    out: OutFolder = Path("comparison"),
    force: Force = False,
    repeats: Repeats = 1000,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    device: options.Device = "cpu",
    exact: options.Exact = False,
) -> None:
    """Compare two models on the same rated photos, with a paired test.

    Example: nima compare quality mine.onnx --data ratings.csv --scale 1..5
    """
    with needs_extra("train", "comparing models"):
        from siamese_nima.datasets.sources import parse_columns
        from siamese_nima.evaluation import judging
    wanted = ScorerOptions(batch_size=batch_size, workers=workers, device=device, exact=exact)
    scorers = [open_scorer(model, options=wanted) for model in (first, second)]
    with progress_bar("scoring") as report:
        result = judging.compare(
            scorers[0],
            scorers[1],
            data,
            photos=photos,
            scale=parse_scale(scale),
            splits=splits,
            columns=parse_columns(columns or ()),
            raters=raters,
            split=split,
            force=force,
            repeats=repeats,
            report=report,
        )
    page = result.write(out)
    for line in [*result.lines(), f"wrote {page}, report.md, figures.json"]:
        typer.echo(line)
    if any(model.failed for model in result.models):
        raise typer.Exit(1)
