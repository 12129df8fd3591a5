"""`nima score` and `nima rank`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.cli import options, run
from siamese_nima.scoring.ranking import copy_ranked, rank_photos
from siamese_nima.scoring.scorer import DEFAULT_MODEL
from siamese_nima.scoring.tables import open_table


def score(
    photos: options.Photos,
    model: options.Model = DEFAULT_MODEL,
    out: options.Out = None,
    batch_size: options.BatchSize = 4,
    workers: options.Workers = None,
    view: options.View = None,
    device: options.Device = "cpu",
    exact: options.Exact = False,
    quiet: options.Quiet = False,
) -> None:
    """Score photos, in the order given: a table on the terminal, CSV into a pipe, or a file.

    Example: nima score holiday/ --out scores.csv
    """
    scorer = run.open_scorer(
        model, view=view, batch_size=batch_size, workers=workers, device=device, exact=exact
    )
    with run.FolderRun(scorer, photos, quiet=quiet) as folder_run, ExitStack() as stack:
        printed = run.result_printer(folder_run.console, scorer.card.scale) if out is None else None
        table = stack.enter_context(open_table(out, scorer.card.scale)) if out else None
        for result in folder_run.results():
            if table:
                table.write(result)
            elif printed:
                printed.write(result)
    folder_run.end()


def rank(
    photos: options.Photos,
    top: Annotated[
        int | None, typer.Option("--top", "-n", min=1, help="Show (and copy) only the N best.")
    ] = None,
    copy_to: Annotated[
        Path | None,
        typer.Option(help="Copy the photos there, names beginning with the rank.", file_okay=False),
    ] = None,
    model: options.Model = DEFAULT_MODEL,
    out: options.Out = None,
    batch_size: options.BatchSize = 4,
    workers: options.Workers = None,
    view: options.View = None,
    device: options.Device = "cpu",
    exact: options.Exact = False,
    quiet: options.Quiet = False,
) -> None:
    """Rank photos, best first.

    Example: nima rank holiday/ --top 20 --copy-to best/
    """
    scorer = run.open_scorer(
        model, view=view, batch_size=batch_size, workers=workers, device=device, exact=exact
    )
    with run.FolderRun(scorer, photos, quiet=quiet) as folder_run:
        ranked = rank_photos(folder_run.results())
    shown = [result for result in ranked if result.mean is not None][:top]
    if copy_to:
        copy_ranked(shown, copy_to)
    failed = [result for result in ranked if result.mean is None]
    if out:
        with open_table(out, scorer.card.scale) as table:
            for result in shown + failed:
                table.write(result)
    else:
        printed = run.result_printer(folder_run.console, scorer.card.scale, ranks=True)
        for result in shown:
            printed.write(result)
    folder_run.end()
