"""`nima score` and `nima rank`."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from siamese_nima.cli import options, run, scale
from siamese_nima.cli.scoring import Scoring, scoring_command
from siamese_nima.cli.terminal import result_printer
from siamese_nima.errors import ConfigError
from siamese_nima.scoring.ranking import copy_ranked, describe_ranking, rank_photos, rank_places
from siamese_nima.scoring.scorer import DEFAULT_MODEL
from siamese_nima.scoring.tables import Columns, open_table


@scoring_command
def score(
    photos: options.Photos,
    model: options.Models = DEFAULT_MODEL,
    out: scale.Out = None,
    engine: scale.EngineOption = scale.Engine.local,
    ray_address: scale.RayAddress = None,
    threads_per_worker: scale.ThreadsPerWorker = None,
    gpus_per_worker: scale.GpusPerWorker = None,
    photos_per_file: scale.PhotosPerFile = None,
    *,
    scoring: Scoring,
) -> None:
    """Score photos, in the order given: a table on the terminal, CSV into a pipe, or a file.

    Example: nima score holiday/ --out scores.csv
    """
    options_of_ray = scale.RayOptions(
        ray_address, threads_per_worker, gpus_per_worker, photos_per_file
    )
    if engine is scale.Engine.ray:
        scale.score_on_ray(photos, run.named_models(model), out, options_of_ray, scoring)
        return
    options_of_ray.check_none_given()
    scorer = scoring.scorer(*run.named_models(model))
    columns = Columns(scorer.scales)
    with scoring.run(scorer, photos) as folder_run, ExitStack() as stack:
        if out:
            table = stack.enter_context(open_table(out, columns))
        else:
            table = result_printer(folder_run.console, columns)
        for result in folder_run.results():
            table.write(result)
    folder_run.end()


@scoring_command
def rank(
    photos: options.Photos,
    top: Annotated[
        int | None, typer.Option("--top", "-n", min=1, help="Show (and copy) only the N best.")
    ] = None,
    copy_to: Annotated[
        Path | None,
        typer.Option(help="Copy the photos there, names beginning with the rank.", file_okay=False),
    ] = None,
    model: options.Models = DEFAULT_MODEL,
    by: Annotated[
        str | None, typer.Option(help="Model that orders, of several; by default the first.")
    ] = None,
    out: options.Out = None,
    *,
    scoring: Scoring,
) -> None:
    """Rank photos, best first, and say where the order is too close to call.

    Example: nima rank holiday/ --top 20 --copy-to best/
    """
    scorer = scoring.scorer(*_ordering_first(run.named_models(model), by))
    with scoring.run(scorer, photos) as folder_run:
        ranked = rank_photos(folder_run.results())
    pair_error = scorer.card.pair_error
    shown = [result for result in ranked if result.mean is not None][:top]
    if copy_to:
        copy_ranked(shown, copy_to)
    failed = [result for result in ranked if result.mean is None]
    columns = Columns(scorer.scales, ranked=True)
    with ExitStack() as stack:
        if out:
            table = stack.enter_context(open_table(out, columns))
        else:
            table = result_printer(folder_run.console, columns)
        places = rank_places(ranked, pair_error)[: len(shown)]
        for result, place in zip_longest(shown + (failed if out else []), places):
            table.write(result, place)
    folder_run.end(describe_ranking(ranked, pair_error))


def _ordering_first(models: list[str], by: str | None) -> list[str]:
    """The models, the one that orders first; its name is what was typed, or a file's name."""
    if by is None:
        return models
    chosen = [model for model in models if by in (model, Path(model).stem)]
    if not chosen:
        raise ConfigError(f"--by {by}: none of the models {', '.join(models)}")
    return [*chosen[:1], *(model for model in models if model != chosen[0])]
