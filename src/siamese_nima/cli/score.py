"""`nima score` and `nima rank`, on this machine or on many; `nima cache`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siamese_nima.cli import options, run
from siamese_nima.cli.options import Scoring, scoring_command
from siamese_nima.curation.copies import plan_copies
from siamese_nima.errors import ConfigError, PhotoError
from siamese_nima.photos.remote import UrlRules
from siamese_nima.photos.sources import Sources, find_sources
from siamese_nima.scale.cluster import ClusterOptions
from siamese_nima.scoring.cache import ResultCache, cache_path
from siamese_nima.scoring.model import ModelFile
from siamese_nima.scoring.ranking import describe_ranking, rank_photos, rank_places
from siamese_nima.scoring.scorer import DEFAULT_MODEL, Scorer
from siamese_nima.scoring.tables import Columns, open_table

if TYPE_CHECKING:
    from siamese_nima.scale.plan import Slice
    from siamese_nima.scale.worker import Job


class Engine(StrEnum):
    """What runs the scoring."""

    local = "local"
    ray = "ray"


def _of_ray(help: str, **limits: Any) -> Any:
    return typer.Option(help=help, rich_help_panel="With --engine ray", **limits)


TableOrFolder = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        help="Write a table: .csv, .jsonl or .parquet; with --engine ray a folder or URL for "
        "Parquet files.",
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        help="ray: on many machines. PHOTOS may then be URLs (s3://...) too, names of listings "
        "(.txt) and tables (.parquet); --workers are processes with a model each."
    ),
]
RayAddress = Annotated[
    str | None,
    _of_ray("Ray cluster to work on; by default one of this machine, for this run."),
]
ThreadsPerWorker = Annotated[
    int | None, _of_ray("Cores for each worker of Ray; by default up to 4.", min=1)
]
GpusPerWorker = Annotated[
    float | None, _of_ray("GPUs for each worker of Ray, such as 0.25.", min=0)
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        help="Column with the photos, of .parquet tables; by default image, or else path."
    ),
]
UrlHost = Annotated[
    list[str] | None,
    typer.Option(
        help="Fetch photos by URL from this host; .example.org means all names below it; may be "
        "repeated. By default no URL is fetched."
    ),
]
PhotosPerFile = Annotated[int | None, _of_ray("Photos per Parquet file that Ray writes.", min=1)]


# What the command line calls the options that only Ray has.
_RAY_ONLY = {
    "address": "--ray-address",
    "threads_per_worker": "--threads-per-worker",
    "gpus_per_worker": "--gpus-per-worker",
    "photos_per_file": "--photos-per-file",
}


def _check_none_given(cluster: ClusterOptions) -> None:
    """Raise `ConfigError` if an option was given that only Ray has."""
    for name, option in _RAY_ONLY.items():
        if getattr(cluster, name) is not None:
            raise ConfigError(f"{option} is an option of --engine ray")


def score_on_ray(
    photos: Sequence[str],
    models: Sequence[str],
    out: str | None,
    cluster: ClusterOptions,
    scoring: Scoring,
    image_column: str | None,
) -> None:
    """Score photos on a Ray cluster, show how far it is, and end as the local run does."""
    if out is None or Path(out).suffix in (".csv", ".jsonl", ".parquet"):
        raise ConfigError(
            f"--out {out or 'is missing'}: with --engine ray it is a folder, or the URL of one, "
            "for Parquet files"
        )
    if scoring.cache:
        raise ConfigError("--cache is on one machine; --engine ray keeps what is done in --out")
    with options.needs_extra("scale", "--engine ray"):
        import fsspec  # noqa: F401
        import pyarrow  # noqa: F401
        import ray  # noqa: F401

        from siamese_nima.scale import plan
    cluster = replace(cluster, workers=scoring.workers)
    cluster.gpus_on(scoring.device)
    # The device of this machine; the workers' may be another.
    here = replace(scoring.options(), workers=1, device="cpu", cache=None)
    scorer = options.open_scorer(*models, options=here)
    folder = plan.Folder(out)
    found = find_sources(photos, image_column=image_column)
    if not found.photos:
        raise PhotoError(f"no photo found in {', '.join(photos)}{run.skipped_text(found.skipped)}")
    job = _job(scorer, folder.url, scoring, found.kept())
    slices = plan.open_plan(folder, found, job.settings, cluster.photos_per_file)
    _show(scorer, found, slices, job, cluster, quiet=scoring.quiet)


def _job(scorer: Scorer, results: str, scoring: Scoring, kept: Mapping[str, Any]) -> Job:
    from siamese_nima.scale.worker import Job

    return Job(
        results=results,
        start=str(Path.cwd()),
        models={
            name: model.path.read_bytes()
            for name, model in scorer.models.items()
            if isinstance(model, ModelFile)
        },
        settings=scorer.settings(scoring.device),
        options=replace(scoring.options(), cache=None),
        kept=kept,
    )


def _show(
    scorer: Scorer,
    found: Sources,
    slices: Sequence[Slice],
    job: Job,
    cluster: ClusterOptions,
    *,
    quiet: bool,
) -> None:
    from siamese_nima.scale.cluster import connected, score_slices

    done = failed = earlier = 0
    errors: list[str] = []
    started = time.perf_counter()
    progress = run.photo_progress(quiet=quiet)
    try:
        with connected(cluster), progress:
            task = progress.add_task("scoring", total=found.photos)
            for part in score_slices(slices, job, cluster):
                done += part.photos
                failed += part.failed
                earlier += part.photos if part.earlier else 0
                errors = [*errors, *part.errors][: run.ERRORS_SHOWN]
                progress.advance(task, part.photos)
    except KeyboardInterrupt:
        typer.echo(
            f"interrupted after {done} of {found.photos} photos. The same command goes on from "
            f"there: results are kept in {job.results}",
            err=True,
        )
        raise typer.Exit(run.INTERRUPTED) from None
    seconds = time.perf_counter() - started
    if not quiet:
        new = done - earlier
        typer.echo(
            f"{done - failed} of {found.photos} photos scored in {seconds:.1f} s "
            f"({new / seconds:.1f} photos/s) by "
            f"{', '.join(model.model_id for model in scorer.models.values())}"
            + (f"; {earlier} in an earlier run" if earlier else "")
            + run.skipped_text(found.skipped),
            err=True,
        )
        for line in run.population_lines(scorer.models):
            typer.echo(line, err=True)
    run.end_with_failures(errors, failed)


def _found(photos: Sequence[str], image_column: str | None, hosts: list[str] | None) -> Sources:
    """The photos of a run on this machine."""
    urls = UrlRules(hosts=tuple(hosts)) if hosts else None
    return find_sources(photos, image_column=image_column, guarded=True, urls=urls)


@scoring_command
def score(
    photos: options.Photos,
    model: options.Models = DEFAULT_MODEL,
    out: TableOrFolder = None,
    engine: EngineOption = Engine.local,
    ray_address: RayAddress = None,
    threads_per_worker: ThreadsPerWorker = None,
    gpus_per_worker: GpusPerWorker = None,
    photos_per_file: PhotosPerFile = None,
    image_column: ImageColumn = None,
    url_host: UrlHost = None,
    *,
    scoring: Scoring,
) -> None:
    """Score photos, in the order given: a table on the terminal, CSV into a pipe, or a file.

    Example: nima score holiday/ --out scores.csv
    """
    cluster = ClusterOptions(
        address=ray_address,
        threads_per_worker=threads_per_worker,
        gpus_per_worker=gpus_per_worker,
        photos_per_file=photos_per_file,
    )
    if engine is Engine.ray:
        score_on_ray(photos, options.named_models(model), out, cluster, scoring, image_column)
        return
    _check_none_given(cluster)
    scorer = scoring.scorer(*options.named_models(model))
    found = _found(photos, image_column, url_host)
    columns = Columns(scorer.scales, kept=found.kept())
    with (
        run.FolderRun(scorer, photos, quiet=scoring.quiet, found=found) as folder_run,
        ExitStack() as stack,
    ):
        if out:
            table = stack.enter_context(open_table(out, columns))
        else:
            table = run.result_printer(folder_run.console, columns)
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
    apart: options.Apart = False,
    image_column: ImageColumn = None,
    url_host: UrlHost = None,
    *,
    scoring: Scoring,
) -> None:
    """Rank photos, best first, and say where the order is too close to call.

    Example: nima rank holiday/ --top 20 --copy-to best/
    """
    scorer = scoring.scorer(*_ordering_first(options.named_models(model), by))
    found = _found(photos, image_column, url_host)
    kept = found.kept()
    if copy_to and not found.plain:
        raise ConfigError(
            "--copy-to copies files; photos in archives, tables and stores have none: use --out"
        )
    with run.FolderRun(scorer, photos, quiet=scoring.quiet, apart=apart, found=found) as folder_run:
        ranked = rank_photos(folder_run.results())
    pair_error = scorer.card.pair_error
    shown = [result for result in ranked if result.mean is not None][:top]
    if copy_to:
        plan = plan_copies(shown, copy_to, among=ranked, apart=apart)
        plan.write()
    failed = [result for result in ranked if result.mean is None]
    columns = Columns(scorer.scales, ranked=True, kept=kept)
    with ExitStack() as stack:
        if out:
            table = stack.enter_context(open_table(out, columns))
        else:
            table = run.result_printer(folder_run.console, columns)
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


cache = typer.Typer()

CacheFile = Annotated[
    Path | None, typer.Option("--cache", help="Cache file; by default the usual one.")
]


@cache.callback(invoke_without_command=True)
def show(context: typer.Context, file: CacheFile = None) -> None:
    """Show where results of earlier runs are kept, and how many; or clear them.

    Example: nima cache
    """
    if context.invoked_subcommand is not None:
        return
    path = file or cache_path()
    if not path.exists():
        typer.echo(f"{path}: no result is kept yet")
        return
    with ResultCache(path) as kept:
        counts = kept.counts()
    typer.echo(
        f"{path}: {counts['distributions']} results, {counts['files']} files known by their "
        f"state, {counts['bytes'] / 1e6:.1f} MB"
    )


@cache.command("clear")
def clear(file: CacheFile = None) -> None:
    """Forget all results of earlier runs.

    Example: nima cache clear
    """
    path = file or cache_path()
    if path.exists():
        with ResultCache(path) as kept:
            kept.clear()
    typer.echo(f"{path}: empty")
