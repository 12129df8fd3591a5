"""`nima evaluate`: a model, or two, judged by photos that people rated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from siamese_nima.cli import options
from siamese_nima.cli.data import SourceOptions, Splits
from siamese_nima.cli.options import grouped_options, needs_extra, open_scorer
from siamese_nima.cli.run import progress_bar
from siamese_nima.cli.streams import tell
from siamese_nima.errors import ConfigError
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
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        file_okay=False,
        help="Folder of the report; by default evaluation, or comparison.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Judge by photos the model was trained on; marked so.")
]
Repeats = Annotated[int, typer.Option(min=10, help="Resamples behind the 95 % intervals.")]


@grouped_options
def evaluate(
    model: Annotated[str, typer.Argument(help="Name or file of the model.", metavar="MODEL")],
    data: Data,
    other: Annotated[
        str | None,
        typer.Argument(help="Another, to compare with on the same photos.", metavar="OTHER"),
    ] = None,
    splits: Splits = None,
    split: Split = None,
    out: OutFolder = None,
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
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the training run, for its curves; found beside the model.",
        ),
    ] = None,
    log: Annotated[Path | None, typer.Option(hidden=True)] = None,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    view: options.View = None,
    device: options.Device = "cpu",
    exact: options.Exact = False,
    *,
    understood: SourceOptions,
) -> None:
    """Judge a model by photos that people rated, or compare two: a report, and figures in JSON.

    Example: nima evaluate quality --data biq2021:data/BIQ2021 --splits splits.csv
    """
    with needs_extra("train", "evaluating a model"):
        from siamese_nima.evaluation import judging
        from siamese_nima.evaluation.plots import log_of
    if other is not None and (view or run or log):
        raise ConfigError("--view and --run are for one model; two are compared as they are")
    folder = out or Path("comparison" if other else "evaluation")
    judging.check_report_folder(folder)
    training_log = None if other else log_of(model, run or log)
    wanted = ScorerOptions(
        view=view, batch_size=batch_size, workers=workers, device=device, exact=exact
    )
    scorers = [open_scorer(name, options=wanted) for name in (model, other) if name is not None]
    source = understood.of(data, splits)
    judged: dict[str, Any] = {"split": split, "force": force, "repeats": repeats}
    with progress_bar("scoring") as report:
        if other is None:
            result = judging.evaluate(
                scorers[0], source, **judged, good=threshold, precision=precision, report=report
            )
            page, lines = result.write(folder, log=training_log), result.lines()
            written, failed = "figures.json, scores.csv", bool(result.model.failed)
        else:
            comparison = judging.compare(scorers[0], scorers[1], source, **judged, report=report)
            page, lines = comparison.write(folder), comparison.lines()
            written, failed = "figures.json", any(each.failed for each in comparison.models)
    for line in [*lines, f"wrote {page}, report.md, {written}"]:
        tell(line)
    if failed:
        raise typer.Exit(1)
